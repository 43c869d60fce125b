"""The line of images that wait for a worker: bounded in images and in bytes.

A place is reserved before the upload is read, so that what is being uploaded counts as well.
Images of batches come after all others, and have a share of the line: a batch holds its body's
bytes, and each of its images waits for a place in place of being refused one.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.drain_rate import DrainRate
from service.errors import Draining, Overloaded

Embedding = NDArray[np.float32]
T = TypeVar("T")

_RETRY_SECONDS: Final = (1, 60)
"""Least and most that Retry-After says."""
_RETRY_UNKNOWN: Final = 5
"""What it says while nothing has been answered that a rate could be measured from."""

BATCH_IMAGES_DIVISOR: Final = 2
"""Images of batches take at most one in so many places."""
BATCH_BODIES_DIVISOR: Final = 2
"""Bodies of batches hold at most one in so many bytes."""
BATCH_BYTES_DIVISOR: Final = 4
"""Images of batches hold at most one in so many bytes, beside the bodies."""


@dataclass(slots=True)
class Stages:
    """Seconds that an image spent in each stage."""

    read: float = 0.0
    queue: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    decide: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the seconds by stage; ``dataclasses.asdict`` would copy each."""
        return {name: getattr(self, name) for name in self.__slots__}


class Entry:
    """An image in the line, and where its result goes."""

    __slots__ = ("data", "deadline", "future", "queued_at", "stages", "then")

    def __init__(self, data: bytes, then: Callable[[Embedding], Any], *, deadline: float) -> None:
        """Belong to the running event loop."""
        self.data = data
        self.then = then
        self.deadline = deadline
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.queued_at = time.monotonic()
        self.stages = Stages()

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the result."""
        return not self.future.done()

    def fail(self, error: Exception) -> None:
        """Hand over an error, from any thread."""
        _settle(self.future, error=error)


@dataclass(slots=True)
class _Share:
    """The line, or a part of it: how much may be in it, and how much is."""

    max_images: int
    max_bytes: int
    images: int = 0
    bytes: int = 0

    def fits(self, size: int, *, images: int = 1) -> bool:
        return self.images + images <= self.max_images and self.bytes + size <= self.max_bytes

    def add(self, images: int, size: int) -> None:
        self.images += images
        self.bytes += size


@dataclass(slots=True, eq=False)
class _Waiter:
    """An image of a batch that waits for a place."""

    size: int
    future: "asyncio.Future[None]"
    admitted: bool = False


class WaitingLine:
    """First come, first served; whatever is of a batch, after everything else."""

    def __init__(
        self, *, max_images: int, max_bytes: int, on_change: Callable[[int], None]
    ) -> None:
        """``on_change`` is told by how many images the line grew or shrank."""
        self._on_change = on_change
        self._entries: deque[tuple[Entry, int]] = deque()
        self._batch_entries: deque[tuple[Entry, int]] = deque()
        part = max(1, max_images // BATCH_IMAGES_DIVISOR)
        self._whole = _Share(max_images, max_bytes)
        self._batch = _Share(part, max_bytes // BATCH_BYTES_DIVISOR)
        self._bodies = _Share(part, max_bytes // BATCH_BODIES_DIVISOR)
        self._waiters: deque[_Waiter] = deque()
        self._draining = self._batches_shed = self._closed = False
        self._changed = threading.Condition()
        self._rate = DrainRate()

    def reserve(self, size: int) -> "Place":
        """Take a place for an image of up to ``size`` bytes.

        Raises:
            Overloaded: the line is full.
            Draining: the line takes nobody any more.
        """
        with self._changed:
            self._refuse_if_draining()
            if not self._whole.fits(size):
                raise self._overloaded()
            self._add(1, size)
        return Place(self, size)

    def hold(self, size: int) -> "Hold":
        """Hold the bytes of a batch's body, of up to ``size``, until all of it is answered.

        Raises:
            Overloaded: other batches hold too much.
            Draining: the line takes nobody any more.
        """
        with self._changed:
            self._refuse_if_draining()
            if not (self._bodies.fits(size) and self._whole.fits(size, images=0)):
                raise self._no_room_for_batch()
            self._bodies.add(1, size)
            self._whole.add(0, size)
        return Hold(self, size)

    async def place_for_batch(self, size: int) -> "Place":
        """Wait for a place for an image of up to ``size`` bytes, of a batch that is held.

        Raises:
            Draining: the process ends before there was a place.
        """
        with self._changed:
            if self._batches_shed:
                raise unreached()
            waiter = _Waiter(size, asyncio.get_running_loop().create_future())
            self._waiters.append(waiter)
            self._admit()
        try:
            await waiter.future
        except BaseException:
            self._leave(waiter)
            raise
        return Place(self, size, batch=True)

    def trade(self, held: int, sizes: Sequence[int]) -> None:
        """Take places of these sizes for a body of the size ``held``: all of them or none.

        Raises:
            Overloaded: there is no room for all.
        """
        with self._changed:
            images, size = len(sizes), sum(sizes) - held
            if not self._whole.fits(size, images=images):
                raise self._overloaded(wanted=images)
            self._bodies.add(-1, -held)
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
            if not self._entries and not self._batch_entries and not self._closed:
                self._changed.wait(timeout)
            if delay and self._entries:
                self._changed.wait_for(lambda: self._closed or len(self._entries) >= most, delay)
            entries = self._entries or self._batch_entries
            if not entries:
                return None if self._closed else []
            share = min(most, math.ceil(len(entries) / sharers))
            taken = [entries.popleft() for _ in range(share)]
            self._add(-share, -sum(size for _, size in taken), batch=entries is not self._entries)
            self._rate.note(share)
            # Whoever waited for a delay has heard what was meant for others.
            if self._entries or self._batch_entries:
                self._changed.notify()
        return [entry for entry, _ in taken]

    def drain(self) -> None:
        """Take nobody any more; whoever has a place keeps it."""
        with self._changed:
            self._draining = True

    def shed_batches(self) -> list[Entry]:
        """Let no image of a batch in any more, and return those that were waiting."""
        with self._changed:
            self._batches_shed = True
            for waiter in self._waiters:
                _settle(waiter.future, error=unreached())
            self._waiters.clear()
            return self._clear(self._batch_entries, batch=True)

    def close(self) -> list[Entry]:
        """Send the workers home and return who was still waiting."""
        left = self.shed_batches()
        with self._changed:
            self._draining = self._closed = True
            left += self._clear(self._entries, batch=False)
            self._changed.notify_all()
        return left

    def full_for(self, seconds: float) -> bool:
        """Say whether nobody can come, and less than a quarter of the images leave so soon."""
        whole = self._whole
        if whole.fits(1):
            return False
        with self._changed:
            return whole.images > 4 * seconds * self._rate.per_second()

    @property
    def empty(self) -> bool:
        """Whether nobody waits or uploads, and no batch is being answered."""
        return self._whole.images == 0 and self._bodies.images == 0

    def put(self, entry: Entry, *, reserved: int, batch: bool) -> None:
        """Turn a reserved place into a waiting entry."""
        with self._changed:
            self._add(0, len(entry.data) - reserved, batch=batch)
            entries = self._batch_entries if batch else self._entries
            entries.append((entry, len(entry.data)))
            self._changed.notify()

    def give_back(self, size: int, *, batch: bool) -> None:
        """Free a place that was never used."""
        with self._changed:
            self._add(-1, -size, batch=batch)

    def let_go(self, size: int, *, bodies: int) -> None:
        """Free so many bytes of batches' bodies, and so many of these bodies."""
        with self._changed:
            self._bodies.add(-bodies, -size)
            self._add(0, -size)

    def _add(self, images: int, size: int, *, batch: bool = False) -> None:
        self._whole.add(images, size)
        if batch:
            self._batch.add(images, size)
        if images:
            self._on_change(images)
        if self._waiters and (images < 0 or size < 0):
            self._admit()

    def _admit(self) -> None:
        """Give places to those who wait for one, in order, as far as there is room."""
        while self._waiters and self._has_room(self._waiters[0].size):
            waiter = self._waiters.popleft()
            waiter.admitted = True
            self._add(1, waiter.size, batch=True)
            _settle(waiter.future)

    def _has_room(self, size: int) -> bool:
        return self._batch.fits(size) and self._whole.fits(size)

    def _leave(self, waiter: _Waiter) -> None:
        """Forget a waiter whose batch needs its place no more, admitted or not."""
        with self._changed:
            if waiter.admitted:
                self._add(-1, -waiter.size, batch=True)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
                self._admit()

    def _clear(self, entries: deque[tuple[Entry, int]], *, batch: bool) -> list[Entry]:
        left = [entry for entry, _ in entries]
        size = sum(size for _, size in entries)
        entries.clear()
        self._add(-len(left), -size, batch=batch)
        return left

    def _refuse_if_draining(self) -> None:
        if self._draining:
            raise Draining

    def _overloaded(self, *, wanted: int = 1) -> Overloaded:
        state = "is full" if wanted == 1 else f"has no room for {wanted} images at once"
        whole = self._whole
        return Overloaded(
            f"The queue {state}: {whole.images} of {whole.max_images} images, {whole.bytes:,} of "
            f"{whole.max_bytes:,} bytes. Try again after the time in Retry-After.",
            retry_after=self._retry_after(),
        )

    def _no_room_for_batch(self) -> Overloaded:
        bodies, whole = self._bodies, self._whole
        return Overloaded(
            f"There is no room for another batch: {bodies.images} of at most {bodies.max_images} "
            f"hold {bodies.bytes:,} of {bodies.max_bytes:,} bytes, the queue has {whole.bytes:,} "
            f"of {whole.max_bytes:,}. Try again after the time in Retry-After.",
            retry_after=max(_RETRY_UNKNOWN, self._retry_after()),
        )

    def _retry_after(self) -> int:
        rate = self._rate.per_second()
        least, most = _RETRY_SECONDS
        wait = _RETRY_UNKNOWN if rate == 0 else math.ceil(self._whole.images / rate)
        return min(most, max(least, wait))


class Place:
    """A reserved place: used once by ``submit``, or given back on the way out."""

    __slots__ = ("_batch", "_line", "_size", "_used")

    def __init__(self, line: WaitingLine, size: int, *, batch: bool = False) -> None:
        """Made by ``WaitingLine.reserve`` and ``WaitingLine.place_for_batch``."""
        self._line = line
        self._size = size
        self._batch = batch
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
        self._line.put(entry, reserved=self._size, batch=self._batch)
        return entry.future

    def __enter__(self) -> Self:
        """Hold the place."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Free it unless it was used."""
        if not self._used:
            self._used = True
            self._line.give_back(self._size, batch=self._batch)


class Hold:
    """The bytes that a body of many images occupies: until the end of the block, or ``split``."""

    __slots__ = ("_line", "_size", "_traded")

    def __init__(self, line: WaitingLine, size: int) -> None:
        """Made by ``WaitingLine.hold``."""
        self._line = line
        self._size = size
        self._traded = False

    def shrink(self, size: int) -> None:
        """Keep only so many bytes, now that the true size is known."""
        self._line.let_go(self._size - size, bodies=0)
        self._size = size

    def split(self, sizes: Sequence[int]) -> list[Place]:
        """Return places for all images in exchange for the body, also while draining.

        Args:
            sizes: the bytes of each image.

        Raises:
            Overloaded: there is no room for all; the body is still held.
        """
        self._line.trade(self._size, sizes)
        self._traded = True
        return [Place(self._line, size) for size in sizes]

    def __enter__(self) -> Self:
        """Hold them."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Let them go, unless they were traded."""
        if not self._traded:
            self._line.let_go(self._size, bodies=1)


def unreached() -> Draining:
    """Return the error of an image that still waited when the process ended."""
    return Draining(
        "The process ended before the image was reached. Send it again: another one answers."
    )


def hand_over(results: Sequence[tuple[Entry, Any]]) -> None:
    """Give entries, all of one event loop, their results and times, from any thread.

    At once: after the first, the loop would take the interpreter from the worker that has the
    others still to decide.
    """
    if results:
        loop = results[0][0].future.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve_here, results)


def _resolve_here(results: Sequence[tuple[Entry, Any]]) -> None:
    for entry, result in results:
        _settle_here(entry.future, (result, entry.stages), None)


def _settle(future: "asyncio.Future[None]", *, error: Exception | None = None) -> None:
    """Settle a future from any thread, unless somebody has, or its loop is closed."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        future.get_loop().call_soon_threadsafe(_settle_here, future, None, error)


def _settle_here(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
