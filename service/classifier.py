"""A bundle and the engine that its encoder runs in: image file -> decision.

Axes: D embedding.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.decision import Decision, decide
from service.engine import Engine
from service.errors import NotReady
from service.metrics import BundleMetrics
from service.schemas import GoldenResult
from service.waiting import Place, Stages

_RETRY_NOT_READY: Final = 30


@dataclass(frozen=True, eq=False, slots=True)
class Classifier:
    """One loaded bundle, and what it needs to answer."""

    bundle: Bundle
    engine: Engine
    metrics: BundleMetrics
    failures: tuple[GoldenResult, ...] = ()
    """Golden images that this machine did not reproduce."""
    refused: bool = False
    """Whether these failures keep it from answering."""

    @property
    def reference(self) -> str:
        """``name@version``."""
        return self.bundle.manifest.reference

    def check_ready(self) -> None:
        """Raise NotReady if the bundle may not answer on this machine."""
        if self.refused:
            raise NotReady(
                f"Bundle {self.reference} failed its self-test; /readyz names the images.",
                retry_after=_RETRY_NOT_READY,
            )

    def classify(
        self, data: bytes, *, place: Place, top_k: int, deadline: float
    ) -> "asyncio.Future[tuple[Decision, Stages]]":
        """Queue an image file; the future gets its decision and how long each stage took."""
        decision = partial(self._decide, top_k=top_k)
        return place.submit(data, decision, deadline=deadline)

    def _decide(self, embedding_D: NDArray[np.float32], *, top_k: int) -> Decision:
        return decide(self.bundle, embedding_D, top_k=top_k)
