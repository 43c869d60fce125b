"""Requests that come while there is no room for an image, begun together a moment later.

Most of them will be refused. While encoders run, which empty the processor's caches all the time,
a refusal costs several times what it costs after another one; and whatever refusals cost is
taken from the images that are answered.
"""

import asyncio
from collections.abc import Callable
from typing import Final

MOMENT_SECONDS: Final = 0.01


class Newcomers:
    """Those of one process."""

    def __init__(self, full_for: Callable[[float], bool]) -> None:
        """``full_for`` says whether there is no room, and will not be much in so many seconds."""
        self._full_for = full_for
        self._held: list[Callable[[], object]] = []

    def hold(self, begin: Callable[[], object]) -> bool:
        """Call ``begin`` at the end of the moment, if there is no room now; say whether."""
        if not self._full_for(MOMENT_SECONDS):
            return False
        if not self._held:
            asyncio.get_running_loop().call_later(MOMENT_SECONDS, self._begin)
        self._held.append(begin)
        return True

    def _begin(self) -> None:
        held, self._held = self._held, []
        for begin in held:
            begin()
