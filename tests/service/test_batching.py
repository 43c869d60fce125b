"""The window over a batch: bounded, complete, and cancelled as a whole."""

import asyncio
from contextlib import aclosing

import pytest

from service.batching import in_window
from tests.service.fakes import run


class _Work:
    """Pieces of work that end when they are told to."""

    def __init__(self, count: int) -> None:
        self.ends = [asyncio.Event() for _ in range(count)]
        self.begun: list[int] = []
        self.cancelled: list[int] = []

    async def __call__(self, index: int) -> int:
        """Wait for the end of this piece."""
        self.begun.append(index)
        try:
            await self.ends[index].wait()
        except asyncio.CancelledError:
            self.cancelled.append(index)
            raise
        return index


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_results_come_as_they_are_ready() -> None:
    """The last piece ends first and is the first result; all arrive, each once."""

    async def scenario() -> None:
        work = _Work(3)
        results = in_window(work, count=3, width=3)
        first = asyncio.ensure_future(anext(results))
        await _settle()
        work.ends[2].set()
        assert await first == 2
        for end in work.ends:
            end.set()
        assert sorted([index async for index in results]) == [0, 1]

    run(scenario())


def test_a_reader_that_stops_holds_back_the_work() -> None:
    """Work that ends at once: never more is begun than was read, plus the window."""

    async def scenario() -> None:
        work = _Work(50)
        for end in work.ends:
            end.set()
        read = 0
        async for _ in in_window(work, count=50, width=4):
            read += 1
            await _settle()
            assert len(work.begun) <= read - 1 + 4
        assert read == 50
        assert work.begun == list(range(50))

    run(scenario())


def test_closing_cancels_what_is_in_hand() -> None:
    """What was begun is cancelled and over before the close returns; the rest never begins."""

    async def scenario() -> None:
        work = _Work(10)
        work.ends[0].set()
        async with aclosing(in_window(work, count=10, width=3)) as results:
            assert await anext(results) == 0
        assert work.begun == [0, 1, 2]
        assert sorted(work.cancelled) == [1, 2]

    run(scenario())


def test_an_error_ends_the_iteration_and_the_rest() -> None:
    """A piece that raises takes the others with it."""

    async def scenario() -> None:
        work = _Work(3)

        async def broken(index: int) -> int:
            if index == 1:
                raise ValueError("piece 1")
            return await work(index)

        with pytest.raises(ValueError, match="piece 1"):
            _ = [index async for index in in_window(broken, count=3, width=3)]
        assert sorted(work.cancelled) == [0, 2]

    run(scenario())


def test_no_work_is_no_result() -> None:
    """An empty batch ends at once."""

    async def scenario() -> None:
        assert [index async for index in in_window(_Work(0), count=0, width=3)] == []

    run(scenario())
