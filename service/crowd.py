"""How many connections each of the processes behind one port has: numbers that all of them map.

A process writes its own number only; the parent writes that of one that has ended.
"""

import mmap
from array import array
from pathlib import Path
from typing import Final, Self

_NUMBER: Final = "i"
_ABSENT: Final = -1
"""In place of a number: this process takes nobody."""


class Crowd:
    """The numbers, as one of the processes sees them; without others, if none are given."""

    def __init__(self, numbers: memoryview | None = None, process: int = 0) -> None:
        """``process`` is the place of this one's number."""
        self._numbers = memoryview(array(_NUMBER, [_ABSENT])) if numbers is None else numbers
        self._process = process
        self._connections = 0

    @classmethod
    def mapped(cls, file: Path, process: int) -> Self:
        """See the numbers in a file that ``write_crowd`` has made."""
        with file.open("r+b") as opened:
            return cls(memoryview(mmap.mmap(opened.fileno(), 0)).cast(_NUMBER), process)

    def begin(self) -> None:
        """Take connections from now on."""
        self._numbers[self._process] = self._connections

    def end(self) -> None:
        """Take nobody any more; those who are there stay."""
        self._numbers[self._process] = _ABSENT

    def came(self) -> None:
        """Count one connection more."""
        self._add(1)

    def left(self) -> None:
        """Count one connection less."""
        self._add(-1)

    @property
    def ahead(self) -> bool:
        """Whether another process that takes connections has fewer."""
        return any(_ABSENT < number < self._connections for number in self._numbers)

    def _add(self, connections: int) -> None:
        self._connections += connections
        if self._numbers[self._process] != _ABSENT:
            self._numbers[self._process] = self._connections


def write_crowd(file: Path, processes: int) -> None:
    """Make the file for so many processes, with nobody there."""
    file.write_bytes(array(_NUMBER, [_ABSENT] * processes).tobytes())
