"""The engine answers every image on its own merits, whatever its neighbours and workers do."""

import asyncio
import logging
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import ImageTooLarge, Undecodable, UnsupportedFormat
from models.preprocess import Preprocess
from service.errors import DeadlineExceeded, Draining, EncodingFailed
from tests.helpers import FakeEncoder, make_image
from tests.service.fakes import (
    SIZE,
    Gate,
    Watcher,
    hooked,
    outcomes,
    run,
    running,
    submit,
    until,
)

# Axes: B batch, H height, W width, C channel, D embedding.

GOOD = [make_image(seed=seed) for seed in range(6)]
PIXELS = Preprocess(resize=SIZE, crop=SIZE)


def _alone(data: bytes) -> NDArray[np.float32]:
    """Return the embedding that an image has on its own."""
    embedding_D: NDArray[np.float32] = FakeEncoder(size=SIZE).embed(PIXELS.pixels(data)[None])[0]
    return embedding_D


def _same(result: object, data: bytes) -> bool:
    assert isinstance(result, tuple), result
    return bool(np.array_equal(result[0], _alone(data)))


def test_answers_equal_those_of_an_image_alone() -> None:
    """Many images at once on two workers get bit for bit what each gets alone."""

    async def scenario() -> None:
        async with running(hooked(), workers=2) as engine:
            results = await outcomes([submit(engine, data) for data in GOOD * 5])
        assert all(_same(r, data) for r, data in zip(results, GOOD * 5, strict=True))

    run(scenario())


def test_stages_are_timed() -> None:
    """Every stage of an answered image took some time, and none took longer than all of it."""

    async def scenario() -> None:
        async with running(hooked()) as engine:
            started = time.monotonic()
            _, stages = await submit(engine, GOOD[0])
            total = time.monotonic() - started
        times = (stages.queue, stages.decode, stages.encode, stages.decide)
        assert all(seconds > 0 for seconds in times)
        assert sum(times) <= total

    run(scenario())


def test_a_worker_takes_what_waits_and_no_more() -> None:
    """One image alone is not kept waiting; what came meanwhile goes together, up to a batch."""
    gate, watcher = Gate(), Watcher()

    async def scenario() -> None:
        async with running(hooked(gate), watcher=watcher, max_batch=4) as engine:
            first = submit(engine, GOOD[0])
            await until(gate.reached.is_set)
            rest = [submit(engine, data) for data in GOOD[1:]]
            gate.open.set()
            await outcomes([first, *rest])

    run(scenario())
    assert watcher.batches == [1, 4, 1]
    assert watcher.queued == 0


def test_an_image_that_does_not_decode_fails_alone() -> None:
    """Broken images among good ones get their own errors and never reach the encoder."""
    bad = [GOOD[0][:200], b"", b"no image", make_image(size=(2000, 1000))]
    gate, watcher = Gate(), Watcher()

    async def scenario() -> list[object]:
        encoder = hooked(gate)
        async with running(encoder, watcher=watcher) as engine:
            first = submit(engine, GOOD[0])
            await until(gate.reached.is_set)
            rest = [submit(engine, data) for data in [GOOD[1], *bad, GOOD[2]]]
            gate.open.set()
            return await outcomes([first, *rest])

    results = run(scenario())
    kinds = [type(result) for result in results]
    assert kinds == [
        tuple, tuple, Undecodable, Undecodable, UnsupportedFormat, ImageTooLarge, tuple,
    ]  # fmt: skip
    assert watcher.batches == [1, 2]
    assert _same(results[-1], GOOD[2])


def test_only_the_guilty_image_of_a_failing_batch_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A batch that breaks the encoder is halved until the one that does it is alone."""
    caplog.set_level(logging.CRITICAL)
    guilty_HWC, gate = PIXELS.pixels(GOOD[3]), Gate()

    def hook(pixels_BHWC: NDArray[np.uint8]) -> None:
        gate(pixels_BHWC)
        if any(np.array_equal(pixels_HWC, guilty_HWC) for pixels_HWC in pixels_BHWC):
            raise RuntimeError("the encoder broke")

    async def scenario() -> list[object]:
        async with running(hooked(hook)) as engine:
            first = submit(engine, GOOD[0])
            await until(gate.reached.is_set)
            rest = [submit(engine, data) for data in GOOD[1:]]
            gate.open.set()
            return await outcomes([first, *rest])

    results = run(scenario())
    failed = [i for i, result in enumerate(results) if isinstance(result, EncodingFailed)]
    assert failed == [3]
    assert all(_same(results[i], GOOD[i]) for i in range(6) if i != 3)


class _Wrong(FakeEncoder):
    """An encoder whose answer has a row too few, or a number that is none."""

    def __init__(self, fault: str) -> None:
        super().__init__(size=SIZE)
        self._fault = fault

    def embed(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Spoil what the fake gives."""
        embeddings_BD = super().embed(pixels_BHWC)
        if self._fault == "short":
            return embeddings_BD[1:]
        embeddings_BD[0, 0] = np.nan
        return embeddings_BD


@pytest.mark.parametrize("fault", ["short", "nan"])
def test_a_wrong_result_is_an_error_and_no_answer(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Too few rows, or NaN, which no threshold would reject, are failures of the encoder."""
    caplog.set_level(logging.CRITICAL)

    async def scenario() -> None:
        async with running(_Wrong(fault)) as engine:
            await submit(engine, GOOD[0])

    with pytest.raises(EncodingFailed, match="failed on this image"):
        run(scenario())


def test_images_nobody_waits_for_are_dropped() -> None:
    """Cancelled before they were reached, they are neither decoded nor encoded."""
    gate = Gate()

    async def scenario() -> list[int]:
        encoder = hooked(gate)
        async with running(encoder) as engine:
            first = submit(engine, GOOD[0])
            await until(gate.reached.is_set)
            left = [submit(engine, data) for data in GOOD[1:]]
            for future in left:
                future.cancel()
            gate.open.set()
            await first
            assert _same(await submit(engine, GOOD[1]), GOOD[1])
        return encoder.batches

    assert run(scenario()) == [1, 1]


def test_images_that_waited_too_long_are_dropped() -> None:
    """Past its deadline an image gets its error without any work."""
    gate = Gate()

    async def scenario() -> list[object]:
        async with running(hooked(gate)) as engine:
            first = submit(engine, GOOD[0])
            await until(gate.reached.is_set)
            late = submit(engine, b"never decoded", seconds=0.0)
            gate.open.set()
            return await outcomes([first, late])

    results = run(scenario())
    assert isinstance(results[1], DeadlineExceeded)


class _End(BaseException):
    """Ends a worker, as nothing that the loop expects would."""


def test_a_dead_worker_is_noticed_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """Liveness names it, its image gets an error and the next one an answer from another."""
    caplog.set_level(logging.CRITICAL + 1)
    deaths = [_End()]

    def hook(_pixels_BHWC: NDArray[np.uint8]) -> None:
        if deaths:
            raise deaths.pop()

    async def scenario() -> None:
        async with running(
            hooked(hook), watcher=watcher, look_seconds=0.3, told_seconds=0.3
        ) as engine:
            assert engine.problems() == []
            with pytest.raises(EncodingFailed, match="worker died"):
                await submit(engine, GOOD[0])
            await until(lambda: engine.problems() == ["worker 0 died."])
            assert _same(await submit(engine, GOOD[1]), GOOD[1])
            assert engine.problems() == ["worker 0 died and was replaced."]
            await until(lambda: engine.problems() == [])

    watcher = Watcher()
    run(scenario())
    assert watcher.restarts == ["died"]


class _Stuck:
    """A hook that holds the first batches until it is told to let go, and no others."""

    def __init__(self, batches: int) -> None:
        self.left = batches
        self.open = threading.Event()
        self.back = threading.Semaphore(0)

    def __call__(self, _pixels_BHWC: NDArray[np.uint8]) -> None:
        """Wait, if it is one of the first."""
        if self.left > 0:
            self.left -= 1
            assert self.open.wait(20)
            self.back.release()


def _threads() -> int:
    return sum(thread.name.startswith("worker ") for thread in threading.enumerate())


def test_a_stuck_worker_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """What it held gets an error, the next image an answer; when it is back it ends."""
    caplog.set_level(logging.CRITICAL + 1)
    stuck, watcher = _Stuck(1), Watcher()

    async def scenario() -> None:
        async with running(
            hooked(stuck), watcher=watcher, stall_seconds=0.2, told_seconds=0.3
        ) as engine:
            threads = _threads()
            with pytest.raises(EncodingFailed, match="worker got stuck"):
                await submit(engine, GOOD[0])
            assert _same(await submit(engine, GOOD[1]), GOOD[1])
            assert engine.problems() == ["worker 0 was stuck and was replaced."]
            await until(lambda: engine.problems() == [])
            assert _threads() == threads + 1
            stuck.open.set()
            await until(lambda: _threads() == threads)
            assert _same(await submit(engine, GOOD[2]), GOOD[2])

    run(scenario())
    assert watcher.restarts == ["stuck"]


def test_only_so_many_stuck_workers_are_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """The second that one worker leaves behind is not: liveness fails until it is back."""
    caplog.set_level(logging.CRITICAL + 1)
    stuck, watcher = _Stuck(2), Watcher()

    async def scenario() -> None:
        async with running(hooked(stuck), watcher=watcher, stall_seconds=0.2) as engine:
            threads = _threads()
            for data in GOOD[:2]:
                with pytest.raises(EncodingFailed, match="worker got stuck"):
                    await submit(engine, data)
            waiting = submit(engine, GOOD[2])
            await asyncio.sleep(0.3)
            assert [p for p in engine.problems() if "no sign of life" in p]
            assert (_threads(), watcher.restarts) == (threads + 1, ["stuck"])
            stuck.open.set()
            assert _same(await waiting, GOOD[2])
            await until(lambda: engine.problems() == [] and _threads() == threads)

    run(scenario())


def test_a_worker_that_waits_is_not_stuck() -> None:
    """Without images there is nothing to be stuck in, however rare the heartbeats are."""

    async def scenario() -> None:
        watcher = Watcher()
        async with running(hooked(), watcher=watcher, stall_seconds=0.01) as engine:
            await asyncio.sleep(0.2)
            assert engine.problems() == []
        assert watcher.restarts == []

    run(scenario())


def test_an_encoder_that_fails_in_a_row_is_tried_until_it_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Five failed batches and it is failing; what once worked is tried, and ends it."""
    caplog.set_level(logging.CRITICAL)
    broken = threading.Event()

    def hook(_pixels_BHWC: NDArray[np.uint8]) -> None:
        if broken.is_set():
            raise RuntimeError("the encoder broke")

    async def scenario() -> None:
        encoder = hooked(hook)
        async with running(encoder) as engine:
            await submit(engine, GOOD[0])
            broken.set()
            for batch in range(5):
                assert not engine.failing, batch
                await outcomes([submit(engine, GOOD[1])])
            await until(lambda: engine.failing)
            tried = len(encoder.batches)
            await until(lambda: len(encoder.batches) > tried + 1)
            assert engine.failing
            broken.clear()
            await until(lambda: not engine.failing)

    run(scenario())


def test_one_success_ends_a_row_of_failures(caplog: pytest.LogCaptureFixture) -> None:
    """A batch with a single image that worked is no failure of the encoder."""
    caplog.set_level(logging.CRITICAL)
    guilty_HWC = PIXELS.pixels(GOOD[3])

    def hook(pixels_BHWC: NDArray[np.uint8]) -> None:
        if any(np.array_equal(pixels_HWC, guilty_HWC) for pixels_HWC in pixels_BHWC):
            raise RuntimeError("the encoder broke")

    async def scenario() -> None:
        # The delay makes a batch of every two.
        async with running(hooked(hook), max_batch=2, batch_delay=60.0) as engine:
            for guilty_first in (True, False) * 4:
                pair = (GOOD[3], GOOD[2]) if guilty_first else (GOOD[2], GOOD[3])
                await outcomes([submit(engine, data) for data in pair])
            assert not engine.failing

    run(scenario())


def test_a_worker_may_wait_for_more() -> None:
    """With a delay, what comes within it goes together."""
    watcher = Watcher()

    async def scenario() -> None:
        async with running(hooked(), watcher=watcher, workers=2, batch_delay=1.0) as engine:
            first = submit(engine, GOOD[0])
            await asyncio.sleep(0.05)
            await outcomes([first, submit(engine, GOOD[1])])

    run(scenario())
    assert watcher.batches == [2]


def test_a_full_batch_waits_for_nothing() -> None:
    """A delay longer than this test may take is over as soon as the batch is full."""
    watcher = Watcher()

    async def scenario() -> None:
        async with running(hooked(), watcher=watcher, max_batch=4, batch_delay=60.0) as engine:
            await outcomes([submit(engine, data) for data in GOOD[:4]])

    run(scenario())
    assert watcher.batches == [4]


def test_draining_finishes_what_it_has() -> None:
    """Nothing new is taken, everything taken is answered, and then the engine is idle."""
    gate = Gate()

    async def scenario() -> None:
        async with running(hooked(gate)) as engine:
            waiting = [submit(engine, data) for data in GOOD]
            engine.drain()
            with pytest.raises(Draining, match="shutting down"):
                submit(engine, GOOD[0])
            assert not engine.idle
            gate.open.set()
            results = await outcomes(waiting)
            assert all(_same(r, data) for r, data in zip(results, GOOD, strict=True))
            await until(lambda: engine.idle)

    run(scenario())


def test_whoever_waits_at_the_end_is_told() -> None:
    """Closing an engine leaves no future without a result."""
    gate = Gate()

    async def scenario() -> list[object]:
        async with running(hooked(gate)) as engine:
            first = submit(engine, GOOD[0])
            await until(gate.reached.is_set)
            second = submit(engine, GOOD[1])
            closing = asyncio.create_task(engine.close())
            error = await outcomes([second])
            gate.open.set()
            await closing
            return [*(await outcomes([first])), *error]

    results = run(scenario())
    assert _same(results[0], GOOD[0])
    assert isinstance(results[1], Draining)
