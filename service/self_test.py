"""Does this machine reproduce a bundle's golden images?"""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Final, Literal

from models.bundle import Bundle
from models.decision import Decision, decide
from models.errors import CroftError
from models.manifest import GoldenImage
from service.engine import Engine
from service.errors import Overloaded
from service.schemas import GoldenResult
from service.waiting import Place

_SECONDS: Final = 300.0
"""How long a golden image may take, in a queue that other bundles keep full as well."""
_FULL_SECONDS: Final = 0.05


async def golden_failures(bundle: Bundle, engine: Engine) -> tuple[GoldenResult, ...]:
    """Classify the golden images as if they had been uploaded; return what differs."""
    images = bundle.manifest.self_test.images
    found = await asyncio.gather(*(_failures(bundle, engine, image) for image in images))
    return tuple(failure for failures in found for failure in failures)


def in_words(failure: GoldenResult) -> str:
    """Say which image differs, and how."""
    return (
        f"Bundle {failure.bundle}: golden image {failure.image} has {failure.quantity} "
        f"{failure.got} on this machine, expected {failure.expected} within "
        f"{failure.tolerance:g}: {failure.reason}."
    )


async def _failures(bundle: Bundle, engine: Engine, image: GoldenImage) -> list[GoldenResult]:
    try:
        decision = await _classify(bundle, engine, image)
    except CroftError as error:
        return [_failure(bundle, image, "energy", None, reason=str(error))]
    return list(_differences(bundle, image, decision))


async def _classify(bundle: Bundle, engine: Engine, image: GoldenImage) -> Decision:
    data = await asyncio.to_thread((bundle.path / image.file).read_bytes)
    deadline = time.monotonic() + _SECONDS
    decision = partial(decide, bundle, top_k=1)
    with await _place(engine, len(data), deadline=deadline) as place:
        result, _ = await place.submit(data, decision, deadline=deadline)
    return result


async def _place(engine: Engine, size: int, *, deadline: float) -> Place:
    """Wait for a place: a bundle is not bad because others keep the queue full."""
    while True:
        try:
            return engine.reserve(size)
        except Overloaded:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_FULL_SECONDS)


def _differences(bundle: Bundle, image: GoldenImage, decision: Decision) -> Iterator[GoldenResult]:
    tolerance = bundle.manifest.self_test.tolerance
    if not abs(decision.energy - image.energy) <= tolerance:
        yield _failure(bundle, image, "energy", decision.energy)
    if not abs(decision.score - image.score) <= tolerance:
        yield _failure(bundle, image, "score", decision.score)


def _failure(
    bundle: Bundle,
    image: GoldenImage,
    quantity: Literal["energy", "score"],
    got: float | None,
    *,
    reason: str = "differs by more than the tolerance",
) -> GoldenResult:
    manifest = bundle.manifest
    return GoldenResult(
        bundle=manifest.reference,
        image=image.file,
        quantity=quantity,
        expected=image.energy if quantity == "energy" else image.score,
        got=got,
        tolerance=manifest.self_test.tolerance,
        reason=reason,
    )
