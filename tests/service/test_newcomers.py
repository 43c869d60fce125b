"""Requests that come to a full service."""

import asyncio

from service.newcomers import MOMENT_SECONDS, Newcomers


def test_while_there_is_no_room_newcomers_begin_together() -> None:
    """Who comes within a moment begins at its end, in order; the next moment has its own end."""
    begun: list[str] = []

    async def come() -> None:
        newcomers = Newcomers(lambda seconds: seconds == MOMENT_SECONDS)
        for before in ("", "ab"):
            assert newcomers.hold(lambda: begun.append("a"))
            assert newcomers.hold(lambda: begun.append("b"))
            assert "".join(begun) == before
            await asyncio.sleep(2 * MOMENT_SECONDS)
            assert "".join(begun) == before + "ab"

    asyncio.run(come())


def test_while_there_is_room_nobody_is_held() -> None:
    """They are the caller's to begin, at once."""
    assert not Newcomers(lambda _: False).hold(lambda: None)
