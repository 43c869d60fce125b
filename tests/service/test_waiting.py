"""Places, order, bounds and the measured rate of the waiting line."""

import asyncio
import time
from typing import Any

import pytest

from service.drain_rate import DrainRate
from service.errors import Draining, Overloaded
from service.waiting import WaitingLine, hand_over
from tests.service.fakes import Watcher


def _line(*, images: int = 4, size: int = 1000) -> tuple[WaitingLine, Watcher]:
    watcher = Watcher()
    return WaitingLine(max_images=images, max_bytes=size, on_change=watcher.queue_changed), watcher


async def _put(line: WaitingLine, *contents: bytes) -> None:
    for data in contents:
        with line.reserve(len(data)) as place:
            place.submit(data, lambda x_D: x_D, deadline=time.monotonic() + 10)


def _take(line: WaitingLine, **options: Any) -> list[bytes]:
    taken = line.take(**{"most": 8, "sharers": 1, "timeout": 0.0, **options})
    assert taken is not None
    return [entry.data for entry in taken]


def test_images_are_taken_in_order() -> None:
    """First come, first served."""
    line, _ = _line()
    asyncio.run(_put(line, b"1", b"2", b"3"))
    assert _take(line) == [b"1", b"2", b"3"]
    assert _take(line) == []


def test_a_worker_takes_its_fair_share() -> None:
    """With two workers, one takes half of what waits, rounded up, and never more than a batch."""
    line, _ = _line(images=8)
    asyncio.run(_put(line, *[b"x"] * 7))
    assert len(_take(line, sharers=2)) == 4
    assert len(_take(line, sharers=2, most=1)) == 1
    assert len(_take(line, sharers=2)) == 1


def test_the_line_is_bounded_in_images() -> None:
    """Uploads that hold a place count, and a place that was given back is free again."""
    line, watcher = _line(images=2)
    with line.reserve(1), line.reserve(1):
        assert watcher.queued == 2
        with pytest.raises(Overloaded, match="2 of 2 images"):
            line.reserve(1)
    assert watcher.queued == 0
    assert line.empty
    with line.reserve(1):
        assert not line.empty


def test_the_line_is_bounded_in_bytes() -> None:
    """What was announced is held until the true size is known."""
    line, _ = _line(size=100)
    with pytest.raises(Overloaded, match="of 100 bytes"):
        line.reserve(101)
    asyncio.run(_put(line, b"x" * 60))
    with pytest.raises(Overloaded, match="60 of 100 bytes"):
        line.reserve(41)
    with line.reserve(40):
        pass


def test_a_smaller_upload_frees_what_it_did_not_need() -> None:
    """A body of unknown length reserves the most and keeps only its size."""
    line, _ = _line(size=100)

    async def upload() -> None:
        with line.reserve(100) as place:
            place.submit(b"x" * 10, lambda x_D: x_D, deadline=time.monotonic() + 10)

    asyncio.run(upload())
    with line.reserve(90):
        pass
    assert _take(line) == [b"x" * 10]
    assert line.empty


def test_a_draining_line_keeps_whom_it_has() -> None:
    """Nobody new gets a place; a place that was reserved before can still be used."""
    line, _ = _line()

    async def scenario() -> None:
        with line.reserve(1) as place:
            line.drain()
            with pytest.raises(Draining, match="shutting down"):
                line.reserve(1)
            place.submit(b"x", lambda x_D: x_D, deadline=time.monotonic() + 10)

    asyncio.run(scenario())
    assert _take(line) == [b"x"]


def test_closing_returns_who_is_left() -> None:
    """Workers are sent home; entries nobody took come back to be failed."""
    line, watcher = _line()
    asyncio.run(_put(line, b"x"))
    assert [entry.data for entry in line.close()] == [b"x"]
    assert line.take(most=1, sharers=1, timeout=10) is None
    assert watcher.queued == 0


def test_a_result_that_nobody_wants_any_more_is_dropped() -> None:
    """Whoever left, or whose loop is closed, is no trouble for the worker."""
    line, _ = _line()
    complaints: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        with line.reserve(1) as place:
            future = place.submit(b"x", lambda x_D: x_D, deadline=time.monotonic() + 10)
        taken = line.take(most=1, sharers=1, timeout=0)
        assert taken is not None
        (entry,) = taken
        future.cancel()
        hand_over([(entry, "late")])
        entry.fail(RuntimeError("later"))
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert complaints == []
    asyncio.run(_put(line, b"x"))
    (left,) = line.close()
    hand_over([(left, "its loop is closed")])


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """Old images are forgotten; a burst of less than a second counts as one second's."""
    now = [100.0]
    rate = DrainRate(clock=lambda: now[0])
    assert rate.per_second() == 0
    rate.note(30)
    assert rate.per_second() == 30
    now[0] += 3
    rate.note(30)
    assert rate.per_second() == 20
    now[0] += 8
    assert rate.per_second() == pytest.approx(30 / 8)
    now[0] += 60
    assert rate.per_second() == 0


def test_retry_after_is_what_the_line_needs_at_its_measured_rate() -> None:
    """Five images left within this second and 45 wait: that takes nine seconds."""
    line, _ = _line(images=45)
    asyncio.run(_put(line, *[b"x"] * 45))
    _take(line, most=5)
    asyncio.run(_put(line, *[b"x"] * 5))
    with pytest.raises(Overloaded, match="queue is full") as caught:
        line.reserve(1)
    assert caught.value.retry_after == 9


def test_a_full_line_is_full_for_as_long_as_its_rate_says() -> None:
    """Twenty images in the last second: a quarter of forty is gone in half of one."""
    line, _ = _line(images=40)
    asyncio.run(_put(line, *[b"x"] * 39))
    assert not line.full_for(0)
    asyncio.run(_put(line, b"x"))
    assert line.full_for(60)  # nobody has left yet
    _take(line, most=20)
    asyncio.run(_put(line, *[b"x"] * 20))
    assert line.full_for(0.4)
    assert not line.full_for(5)  # however slowly this test runs


def test_retry_after_is_a_guess_before_anything_was_measured() -> None:
    """A line that nobody has left yet knows no rate, and says a few seconds."""
    line, _ = _line(images=1)
    asyncio.run(_put(line, b"x"))
    with pytest.raises(Overloaded, match="queue is full") as caught:
        line.reserve(1)
    assert caught.value.retry_after == 5


def test_a_body_is_split_for_all_images_or_for_none() -> None:
    """Three images need three places; without room for them the body is still held."""
    line, watcher = _line(images=4)
    with line.hold(100) as hold, line.reserve(5):
        places = hold.split([30, 30, 30])
        assert watcher.queued == 4
    for place in places:
        with place:
            pass
    assert line.empty
    with line.hold(100) as hold, line.reserve(5), line.reserve(5):
        with pytest.raises(Overloaded, match="no room for 3 images at once: 2 of 4"):
            hold.split([30, 30, 30])
        assert watcher.queued == 2
    assert line.empty


def test_a_body_is_split_within_the_bytes() -> None:
    """The bytes of the body are given back before those of the images are taken."""
    line, _ = _line(size=200)
    with line.hold(100) as hold:
        with pytest.raises(Overloaded, match="no room for 2 images"):
            hold.split([100, 101])
        for part in hold.split([100, 100]):
            with part:
                pass
    assert line.empty
    with line.hold(100):  # its share of the bodies is free again
        pass


def test_a_body_is_split_also_while_the_line_drains() -> None:
    """Whoever is uploading is answered; nobody else gets a place."""
    line, _ = _line()
    with line.hold(10) as hold:
        line.drain()
        assert len(hold.split([1, 2])) == 2
    with pytest.raises(Draining, match="shutting down"):
        line.reserve(1)
