"""The line of images that wait for a worker: bounded in images and in bytes.

A place is reserved before the upload is read, so that what is being uploaded counts as well.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import Draining, Overloaded

Embedding = NDArray[np.float32]
T = TypeVar("T")

RATE_WINDOW_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = (1, 60)
"""Least and most that Retry-After says."""
_RETRY_UNKNOWN: Final = 5
"""What it says while nothing has been answered that a rate could be measured from."""


@dataclass(slots=True)
class Stages:
    """Seconds that an image spent in each stage."""

    read: float = 0.0
    queue: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    decide: float = 0.0


class Entry:
    """An image in the line, and where its result goes."""

    __slots__ = ("data", "deadline", "future", "loop", "queued_at", "stages", "then")

    def __init__(self, data: bytes, then: Callable[[Embedding], Any], *, deadline: float) -> None:
        """Belong to the running event loop."""
        self.data = data
        self.then = then
        self.deadline = deadline
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.queued_at = time.monotonic()
        self.stages = Stages()

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the result."""
        return not self.future.done()

    def resolve(self, result: Any) -> None:
        """Hand over the result and the times, from any thread."""
        self._call(self._settle, (result, self.stages), None)

    def fail(self, error: Exception) -> None:
        """Hand over an error, from any thread."""
        self._call(self._settle, None, error)

    def _call(self, callback: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(callback, *args)

    def _settle(self, result: Any, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class WaitingLine:
    """First come, first served."""

    def __init__(
        self, *, max_images: int, max_bytes: int, on_change: Callable[[int], None]
    ) -> None:
        """``on_change`` is told by how many images the line grew or shrank."""
        self.max_images = max_images
        self.max_bytes = max_bytes
        self._on_change = on_change
        self._entries: deque[tuple[Entry, int]] = deque()
        self._images = self._bytes = 0
        self._draining = self._closed = False
        self._changed = threading.Condition()
        self._rate = DrainRate()

    def reserve(self, size: int) -> "Place":
        """Take a place for an image of up to ``size`` bytes.

        Raises:
            Overloaded: the line is full.
            Draining: the line takes nobody any more.
        """
        with self._changed:
            if self._draining:
                raise Draining(
                    "This process is shutting down. Send the request again: another one answers.",
                    retry_after=_RETRY_SECONDS[0],
                )
            if self._images >= self.max_images or self._bytes + size > self.max_bytes:
                raise self._overloaded()
            self._add(1, size)
        return Place(self, size)

    def trade(self, held: int, sizes: Sequence[int]) -> None:
        """Take places of these sizes for one of the size ``held``: all of them or none.

        Raises:
            Overloaded: there is no room for all.
        """
        with self._changed:
            images, size = len(sizes) - 1, sum(sizes) - held
            if self._images + images > self.max_images or self._bytes + size > self.max_bytes:
                raise self._overloaded(wanted=len(sizes))
            self._add(images, size)

    def take(
        self, *, most: int, sharers: int, timeout: float, delay: float = 0.0
    ) -> list[Entry] | None:
        """Return a fair share of what waits; an empty list after the timeout, None at the end.

        Args:
            most: largest share.
            sharers: how many workers share what waits.
            timeout: seconds to wait for somebody to come.
            delay: seconds to wait, once somebody is there, until there are ``most``.
        """
        with self._changed:
            if not self._entries and not self._closed:
                self._changed.wait(timeout)
            if delay and self._entries:
                self._changed.wait_for(lambda: self._closed or len(self._entries) >= most, delay)
            if not self._entries:
                return None if self._closed else []
            share = min(most, math.ceil(len(self._entries) / sharers))
            taken = [self._entries.popleft() for _ in range(share)]
            self._add(-share, -sum(size for _, size in taken))
            self._rate.note(share)
            if self._entries:  # whoever waited for a delay has heard what was meant for others
                self._changed.notify()
        return [entry for entry, _ in taken]

    def drain(self) -> None:
        """Take nobody any more; whoever has a place keeps it."""
        with self._changed:
            self._draining = True

    def close(self) -> list[Entry]:
        """Send the workers home and return who was still waiting."""
        with self._changed:
            self._draining = self._closed = True
            left = [entry for entry, _ in self._entries]
            self._add(-len(left), -sum(size for _, size in self._entries))
            self._entries.clear()
            self._changed.notify_all()
        return left

    @property
    def empty(self) -> bool:
        """Whether nobody waits or uploads."""
        return self._images == 0

    def put(self, entry: Entry, *, reserved: int) -> None:
        """Turn a reserved place into a waiting entry."""
        with self._changed:
            self._bytes += len(entry.data) - reserved
            self._entries.append((entry, len(entry.data)))
            self._changed.notify()

    def give_back(self, size: int) -> None:
        """Free a place that was never used."""
        with self._changed:
            self._add(-1, -size)

    def _add(self, images: int, size: int) -> None:
        self._images += images
        self._bytes += size
        self._on_change(images)

    def _overloaded(self, *, wanted: int = 1) -> Overloaded:
        rate = self._rate.per_second()
        least, most = _RETRY_SECONDS
        wait = _RETRY_UNKNOWN if rate == 0 else math.ceil(self._images / rate)
        state = "is full" if wanted == 1 else f"has no room for {wanted} images at once"
        return Overloaded(
            f"The queue {state}: {self._images} of {self.max_images} images, {self._bytes:,} of "
            f"{self.max_bytes:,} bytes. Try again after the time in Retry-After.",
            retry_after=min(most, max(least, wait)),
        )


class Place:
    """A reserved place: used once by ``submit``, or given back on the way out."""

    __slots__ = ("_line", "_size", "_used")

    def __init__(self, line: WaitingLine, size: int) -> None:
        """Made by ``WaitingLine.reserve``."""
        self._line = line
        self._size = size
        self._used = False

    def submit(
        self, data: bytes, then: Callable[[Embedding], T], *, deadline: float
    ) -> "asyncio.Future[tuple[T, Stages]]":
        """Queue an image; the future gets what ``then`` makes of it in a worker, and the times.

        Args:
            data: the bytes of the image file.
            then: from the embedding, shape (D,), to the result.
            deadline: on the clock of ``time.monotonic``; later nobody wants the result.
        """
        entry = Entry(data, then, deadline=deadline)
        self._used = True
        self._line.put(entry, reserved=self._size)
        return entry.future

    def split(self, sizes: Sequence[int]) -> list["Place"]:
        """Return places for several images in exchange for this one, also while draining.

        Args:
            sizes: the bytes of each image.

        Raises:
            Overloaded: there is no room for all; this place is still held.
        """
        self._line.trade(self._size, sizes)
        self._used = True
        return [Place(self._line, size) for size in sizes]

    def __enter__(self) -> Self:
        """Hold the place."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free it unless it was used."""
        if not self._used:
            self._used = True
            self._line.give_back(self._size)


class DrainRate:
    """How many images a second have left the line lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` counts seconds."""
        self._clock = clock
        self._taken: deque[tuple[float, int]] = deque()
        self._total = 0

    def note(self, images: int) -> None:
        """Remember that so many left just now."""
        self._taken.append((self._clock(), images))
        self._total += images
        self._forget()

    def per_second(self) -> float:
        """Return the mean of the window, 0 if nothing left within it."""
        self._forget()
        if not self._taken:
            return 0.0
        return self._total / max(1.0, self._clock() - self._taken[0][0])

    def _forget(self) -> None:
        oldest = self._clock() - RATE_WINDOW_SECONDS
        while self._taken and self._taken[0][0] < oldest:
            self._total -= self._taken.popleft()[1]
