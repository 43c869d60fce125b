"""How fast the line moves, which is what Retry-After is measured from."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_WINDOW_SECONDS: Final = 10.0


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
        oldest = self._clock() - _WINDOW_SECONDS
        while self._taken and self._taken[0][0] < oldest:
            self._total -= self._taken.popleft()[1]
