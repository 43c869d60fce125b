"""Images that come while no queue has a place for another, begun together a moment later.

Most of them will be refused, and a refusal right after another one is cheaper: presumably since
encoders leave nothing else in the processor's caches. What refusals cost is taken from the images
that are answered.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final

MOMENT_SECONDS: Final = 0.01


class Newcomers:
    """Those of one process."""

    def __init__(self, full_for: Callable[[float], bool]) -> None:
        """``full_for`` says whether there is no place, and will not be many in so many seconds."""
        self._full_for = full_for
        self._postponed: list[Callable[[], object]] = []

    def postpone(self, begin: Callable[[], object]) -> bool:
        """Call ``begin`` at the end of the moment, or say that it can be begun now.

        Whoever can begin now begins after those who were postponed.
        """
        if not self._full_for(MOMENT_SECONDS):
            self._begin()
            return False
        if not self._postponed:
            asyncio.get_running_loop().call_later(MOMENT_SECONDS, self._begin)
        self._postponed.append(begin)
        return True

    def _begin(self) -> None:
        postponed, self._postponed = self._postponed, []
        for begin in postponed:
            Context().run(begin)  # the one around is perhaps that of another request
