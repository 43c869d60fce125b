"""``croft serve`` with faults on demand: ``python -m tests.service.faulty FOLDER serve ...``.

A file in the folder is a fault, for as long as it is there. Everything else is the real thing.
"""

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from croft.cli import main
from models.bundle import Bundle
from models.encoder import Encoder, OnnxEncoder
from service.loading import read_bundles
from service.registry import Registry
from service.settings import Settings

# Axes: B batch, H height, W width, C channel, D embedding.

HOLD = "hold"
"""Every batch waits."""
SLOW = "slow"
"""Every image takes as many seconds as the file says."""
BROKEN = "broken"
"""Every batch raises."""
SHORT = "short"
"""Every batch gives a row too few."""
GUILTY = "guilty"
"""A batch with a bright image raises."""
DEADLY = "deadly"
"""The next batch ends its thread."""
STUCK = "stuck"
"""The next batch waits until the file ``stuck.taken`` is gone."""
TAKEN = "stuck.taken"
BRIGHT = 200.0
"""Mean pixel of an image that is."""


class _Death(BaseException):
    """Ends a worker, as nothing that it expects would."""


class FaultyEncoder:
    """An encoder, and the faults that lie in a folder."""

    def __init__(self, inner: Encoder, folder: Path) -> None:
        """Be as the inner encoder while the folder is empty."""
        self._inner = inner
        self._folder = folder
        self.digest, self.dim, self.size = inner.digest, inner.dim, inner.size

    def embed(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed, unless a fault says otherwise."""
        self._wait(pixels_BHWC)
        if self._take(DEADLY):
            raise _Death
        if self._has(BROKEN) or (self._has(GUILTY) and _has_bright(pixels_BHWC)):
            raise RuntimeError("the encoder broke")
        embeddings_BD = self._inner.embed(pixels_BHWC)
        return embeddings_BD[1:] if self._has(SHORT) else embeddings_BD

    def _wait(self, pixels_BHWC: NDArray[np.uint8]) -> None:
        awaited = TAKEN if self._take(STUCK) else HOLD
        while self._has(awaited):
            time.sleep(0.005)
        if self._has(SLOW):
            time.sleep(len(pixels_BHWC) * float((self._folder / SLOW).read_text()))

    def _has(self, fault: str) -> bool:
        return (self._folder / fault).exists()

    def _take(self, fault: str) -> bool:
        """Return whether the fault is there, and make it happen to nobody else."""
        try:
            (self._folder / fault).rename(self._folder / f"{fault}.taken")
        except FileNotFoundError:
            return False
        return True


def _has_bright(pixels_BHWC: NDArray[np.uint8]) -> bool:
    return bool((pixels_BHWC.mean(axis=(1, 2, 3)) > BRIGHT).any())


def _serve(folder: Path, arguments: list[str]) -> int:
    def load(settings: Settings) -> Registry:
        def open_encoder(bundle: Bundle) -> Encoder:
            return FaultyEncoder(OnnxEncoder(bundle.encoder_path), folder)

        bundles = read_bundles(settings, known={})
        return Registry(bundles, settings=settings, open_encoder=open_encoder)

    Registry.load = load  # type: ignore[method-assign]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_serve(Path(sys.argv[1]), sys.argv[2:]))
