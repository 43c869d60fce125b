"""Every image is counted twice: when it arrives, and once by what became of it."""

from typing import Self

from service.errors import Outcome, wire
from service.metrics import OUTCOMES, Metrics
from service.middleware import RequestRecord


class Tally:
    """The images of one request while they are counted, until the end of the block."""

    __slots__ = ("_images", "_metrics", "bundle", "outcomes")

    def __init__(self, metrics: Metrics, images: int = 1) -> None:
        """Begin with no bundle.

        Args:
            metrics: where they are counted.
            images: how many have arrived; one stands for all until ``arrived`` is called.
        """
        self._metrics = metrics
        self._images = images
        self.bundle: tuple[str, str] = ("", "")
        """Name and version."""
        self.outcomes: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        """How many images had which so far."""

    def arrived(self, images: int) -> None:
        """Say how many images the request has: at least one."""
        self._metrics.received.inc(images - self._images)
        self._images = images

    def note(self, outcome: Outcome) -> None:
        """Count what became of one image."""
        self.outcomes[outcome] += 1
        self._count(outcome, 1)

    def __enter__(self) -> Self:
        """Count the images on arrival."""
        self._metrics.received.inc(self._images)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Count those that nobody noted by how the request ended."""
        left = self._images - sum(self.outcomes.values())
        if left:
            self._count(_outcome_of(error), left)

    def _count(self, outcome: Outcome, images: int) -> None:
        self._metrics.images.labels(*self.bundle, outcome).inc(images)


def _outcome_of(error: BaseException | None) -> Outcome:
    """Return what became of images whose request ended like this; to be forgotten is a fault."""
    if error is None:
        return "failed"
    return wire(error).outcome if isinstance(error, Exception) else "cancelled"


async def note_images(record: RequestRecord, tally: Tally, images: int) -> None:
    """Count the images of a request, now that their number is known and before any work.

    Raises:
        RateLimited: its caller may not send so many now.
    """
    record.images = images
    tally.arrived(images)
    if images > 1 and record.charge is not None:
        await record.charge(images)
