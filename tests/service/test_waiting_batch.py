"""The share that batches have of the waiting line: last, limited, and never lost."""

import asyncio
import time
from typing import Any

import pytest

from service.errors import Draining, Overloaded
from service.waiting import Place, WaitingLine
from tests.service.fakes import Watcher, run


def _line(*, images: int = 8, size: int = 4000) -> tuple[WaitingLine, Watcher]:
    watcher = Watcher()
    return WaitingLine(max_images=images, max_bytes=size, on_change=watcher.queue_changed), watcher


def _submit(place: Place, data: bytes) -> None:
    with place:
        place.submit(data, lambda x_D: x_D, deadline=time.monotonic() + 10)


def _take(line: WaitingLine, **options: Any) -> list[bytes]:
    taken = line.take(**{"most": 8, "sharers": 1, "timeout": 0.0, **options})
    assert taken is not None
    return [entry.data for entry in taken]


def _is_empty(line: WaitingLine) -> bool:
    return line.empty


async def _waiting(line: WaitingLine, *sizes: int) -> list["asyncio.Task[Place]"]:
    """Begin to wait for places, in this order, and return when nothing more happens."""
    tasks = [asyncio.create_task(line.place_for_batch(size)) for size in sizes]
    await _settle()
    return tasks


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_interactive_images_overtake_those_of_batches() -> None:
    """They are taken first, and alone: none shares its call with an image of a batch."""
    line, _ = _line()

    async def scenario() -> None:
        for data in (b"b1", b"b2"):
            _submit(await line.place_for_batch(2), data)
        for data in (b"i1", b"i2"):
            _submit(line.reserve(2), data)

    run(scenario())
    assert _take(line) == [b"i1", b"i2"]
    assert _take(line) == [b"b1", b"b2"]
    assert _is_empty(line)


def test_batches_get_half_of_the_places() -> None:
    """Of eight, four: the fifth image waits, and an interactive one still finds a place."""
    line, watcher = _line()

    async def scenario() -> None:
        tasks = await _waiting(line, *[1] * 6)
        assert [task.done() for task in tasks] == [True] * 4 + [False] * 2
        for _ in range(4):
            line.reserve(1)
        with pytest.raises(Overloaded, match="8 of 8 images"):
            line.reserve(1)
        assert watcher.queued == 8
        _submit(tasks[0].result(), b"x")
        assert _take(line) == [b"x"]
        await _settle()
        assert [task.done() for task in tasks] == [True] * 5 + [False]
        tasks[5].cancel()

    run(scenario())


def test_a_full_line_holds_batches_back_until_one_leaves() -> None:
    """While interactive images have every place, an image of a batch waits; then it is let in."""
    line, _ = _line(images=2)

    async def scenario() -> None:
        places = [line.reserve(1), line.reserve(1)]
        (task,) = await _waiting(line, 1)
        assert not task.done()
        with places[0]:
            pass
        await _settle()
        assert task.done()

    run(scenario())


def test_batches_get_a_quarter_of_the_bytes() -> None:
    """A large image waits for its room, and nobody behind it slips past."""
    line, _ = _line(size=4000)

    async def scenario() -> None:
        first, large, small = await _waiting(line, 600, 900, 10)
        assert (first.done(), large.done(), small.done()) == (True, False, False)
        _submit(first.result(), b"x" * 50)
        await _settle()
        assert (large.done(), small.done()) == (True, True)

    run(scenario())


@pytest.mark.parametrize("admitted", [True, False])
def test_whoever_stops_waiting_leaves_nothing_behind(admitted: bool) -> None:
    """Cancelled before its place or in the moment of it: the next one gets the place."""
    line, watcher = _line(images=2)

    async def scenario() -> None:
        first, second, third = await _waiting(line, 1, 1, 1)
        assert (first.done(), second.done()) == (True, False)
        if admitted:
            with first.result():  # its place is the second's at once, who has not woken yet
                pass
            second.cancel()
        else:
            second.cancel()
            with first.result():
                pass
        await _settle()
        assert second.cancelled()
        with third.result():
            pass

    run(scenario())
    assert _is_empty(line)
    assert watcher.queued == 0


def test_bodies_hold_half_of_the_bytes() -> None:
    """A third batch is told to wait; what a body turned out not to need is free at once."""
    line, _ = _line(size=4000)
    with line.hold(1500) as first, line.hold(500):
        with pytest.raises(Overloaded, match="2 of at most 4 hold 2,000 of 2,000 bytes") as caught:
            line.hold(1)
        assert caught.value.retry_after >= 1
        assert not _is_empty(line)
        with line.reserve(2000), pytest.raises(Overloaded, match="4,000 of 4,000 bytes"):
            line.reserve(1)
        first.shrink(500)
        with line.hold(1000):
            pass
    assert _is_empty(line)
    with line.reserve(4000):
        pass


def test_a_body_needs_room_in_the_line_but_no_place() -> None:
    """While single images have every place, a batch is let in; where they have the bytes, not."""
    line, _ = _line(images=2, size=4000)
    with line.reserve(1), line.reserve(2100):
        with pytest.raises(Overloaded, match="0 of 2,000 bytes, the queue has 2,101 of 4,000"):
            line.hold(1900)
        with line.hold(1800):
            pass
    assert _is_empty(line)


def test_so_many_batches_at_once() -> None:
    """Small ones are limited in number, by the places that all of them share."""
    line, _ = _line(images=2)
    with line.hold(1), pytest.raises(Overloaded, match="1 of at most 1"):
        line.hold(1)
    with line.hold(1):
        pass


def test_a_draining_line_lets_its_batches_finish() -> None:
    """No new batch; the images of one that is held still get their places."""
    line, _ = _line()

    async def scenario() -> None:
        with line.hold(10):
            line.drain()
            with pytest.raises(Draining, match="shutting down"):
                line.hold(1)
            _submit(await line.place_for_batch(1), b"x")
            assert _take(line) == [b"x"]
            assert not _is_empty(line)
        assert _is_empty(line)

    run(scenario())


@pytest.mark.parametrize("end", ["shed_batches", "close"])
def test_the_end_reaches_all_who_wait(end: str) -> None:
    """Those in the line are returned, those before it are told, those who come later too."""
    line, watcher = _line(images=2)

    async def scenario() -> None:
        _submit(await line.place_for_batch(1), b"x")
        (waiting,) = await _waiting(line, 1)
        assert [entry.data for entry in getattr(line, end)()] == [b"x"]
        for place in (waiting, line.place_for_batch(1)):
            with pytest.raises(Draining, match="before the image was reached"):
                await place

    run(scenario())
    assert _is_empty(line)
    assert watcher.queued == 0
