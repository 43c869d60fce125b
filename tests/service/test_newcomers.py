"""Images that come to a full service."""

import asyncio
from contextvars import ContextVar

from service.newcomers import MOMENT_SECONDS, Newcomers

whose: ContextVar[str] = ContextVar("whose", default="nobody's")


def test_while_there_is_no_place_newcomers_begin_together() -> None:
    """Who comes within a moment begins at its end, in order; the next moment has its own end."""
    begun: list[str] = []

    async def come() -> None:
        newcomers = Newcomers(lambda seconds: seconds == MOMENT_SECONDS)
        for before in ("", "ab"):
            assert newcomers.postpone(lambda: begun.append("a"))
            assert newcomers.postpone(lambda: begun.append("b"))
            assert "".join(begun) == before
            await asyncio.sleep(2 * MOMENT_SECONDS)
            assert "".join(begun) == before + "ab"

    asyncio.run(come())


def test_who_can_begin_now_overtakes_nobody() -> None:
    """With a place again those who wait for the end of the moment come first, and once."""
    begun: list[str] = []

    async def come() -> None:
        full = [True, False]
        newcomers = Newcomers(lambda _: full.pop(0))
        assert newcomers.postpone(lambda: begun.append("a"))
        assert not newcomers.postpone(lambda: begun.append("b"))
        assert begun == ["a"]
        await asyncio.sleep(2 * MOMENT_SECONDS)

    asyncio.run(come())
    assert begun == ["a"]


def test_nobody_begins_in_the_context_of_another() -> None:
    """The first of a moment may be called from within a request."""
    begun: list[str] = []

    async def come() -> None:
        whose.set("another's")
        assert Newcomers(lambda _: True).postpone(lambda: begun.append(whose.get()))
        await asyncio.sleep(2 * MOMENT_SECONDS)

    asyncio.run(come())
    assert begun == ["nobody's"]
