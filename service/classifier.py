"""A bundle and the engine that its encoder runs in: image file -> decision.

Axes: D embedding.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.decision import Decision, decide
from models.errors import CroftError
from models.manifest import GoldenImage
from service.engine import Engine
from service.errors import NotReady
from service.metrics import BundleMetrics
from service.schemas import GoldenResult
from service.waiting import Place, Stages

_SELF_TEST_SECONDS: Final = 300.0
_RETRY_NOT_READY: Final = 30


@dataclass(slots=True)
class Classifier:
    """One loaded bundle."""

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
        return f"{self.bundle.manifest.name}@{self.bundle.manifest.version}"

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

    async def run_self_test(self, *, refuse: bool) -> None:
        """Classify the golden images as if they had been uploaded, and compare.

        Args:
            refuse: whether a difference keeps the bundle from answering.
        """
        failures: list[GoldenResult] = []
        for image in self.bundle.manifest.self_test.images:
            try:
                decision = await self._classify_golden(image)
            except CroftError as error:
                failures.append(self._failure(image, "energy", None, reason=str(error)))
            else:
                failures += self._differences(image, decision)
        self.failures, self.refused = tuple(failures), refuse and bool(failures)

    async def _classify_golden(self, image: GoldenImage) -> Decision:
        data = (self.bundle.path / image.file).read_bytes()
        deadline = time.monotonic() + _SELF_TEST_SECONDS
        with self.engine.reserve(len(data)) as place:
            decision, _ = await self.classify(data, place=place, top_k=1, deadline=deadline)
        return decision

    def _differences(self, image: GoldenImage, decision: Decision) -> Iterator[GoldenResult]:
        tolerance = self.bundle.manifest.self_test.tolerance
        if not abs(decision.energy - image.energy) <= tolerance:
            yield self._failure(image, "energy", decision.energy)
        if not abs(decision.score - image.score) <= tolerance:
            yield self._failure(image, "score", decision.score)

    def _failure(
        self,
        image: GoldenImage,
        quantity: Literal["energy", "score"],
        got: float | None,
        *,
        reason: str = "differs by more than the tolerance",
    ) -> GoldenResult:
        return GoldenResult(
            bundle=self.reference,
            image=image.file,
            quantity=quantity,
            expected=image.energy if quantity == "energy" else image.score,
            got=got,
            tolerance=self.bundle.manifest.self_test.tolerance,
            reason=reason,
        )
