"""How many connections each of the processes behind one port has: numbers that all of them map.

The last one is the parent's, which takes nobody: it says only whether the parent still has the
port. Each process writes its own; the parent also that of a child that has ended, and a child that
of a parent that was killed.
"""

import mmap
from array import array
from typing import Final, Self

_NUMBER: Final = "i"
_TAKES_NOBODY: Final = -1
"""In place of a number: this process wants nobody, but has the port."""
_GONE: Final = -2
"""In place of a number: this process is letting go of the port, or does not serve yet."""


class Crowd:
    """The numbers, as one of the processes sees them; without others, if none are given."""

    def __init__(self, numbers: memoryview | None = None, process: int = 0) -> None:
        """``process`` is the place of this one's number."""
        self._numbers = memoryview(array(_NUMBER, [_GONE])) if numbers is None else numbers
        self._process = process
        self._connections = 0
        self._takes = False
        self._passed_over: dict[int, int] = {}

    @classmethod
    def mapped(cls, descriptor: int, process: int) -> Self:
        """See the numbers in a file that has those of ``nobody``."""
        return cls(memoryview(mmap.mmap(descriptor, 0)).cast(_NUMBER), process)

    def begin(self) -> None:
        """Take connections from now on."""
        self._takes = True
        self._add(0)

    def end(self) -> None:
        """Take nobody any more; those who are there stay."""
        self._takes = False
        self._numbers[self._process] = _TAKES_NOBODY

    def let_go(self) -> bool:
        """Be about to close the port; say whether nobody else goes on having it."""
        self._takes = False
        self._numbers[self._process] = _GONE
        return all(number == _GONE for number in self._numbers)

    def parent_ended(self) -> None:
        """Take notice that the parent has ended."""
        self._numbers[-1] = _GONE

    def came(self) -> None:
        """Count one connection more."""
        self._add(1)

    def left(self) -> None:
        """Count one connection less."""
        self._add(-1)

    @property
    def ahead(self) -> bool:
        """Whether another process that takes connections has fewer."""
        return any(self._passed_over.get(process) != number for process, number in self._fewer())

    def pass_over(self) -> None:
        """Wait no longer for those that have fewer, until their numbers change."""
        self._passed_over = dict(self._fewer())

    def _fewer(self) -> list[tuple[int, int]]:
        own = self._connections
        return [(i, number) for i, number in enumerate(self._numbers) if 0 <= number < own]

    def _add(self, connections: int) -> None:
        self._connections += connections
        if self._takes:
            self._numbers[self._process] = self._connections


def nobody(processes: int) -> bytes:
    """Return the numbers of so many processes that do not serve yet, and of their parent."""
    return array(_NUMBER, [_GONE] * processes + [_TAKES_NOBODY]).tobytes()
