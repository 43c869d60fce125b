"""What processes cost, read from /proc: CPU of a whole tree, memory, and the load of others."""

import os
import time
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")
_MIB: Final = 2**20


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += parents.get(member, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process, its descendants, and its dead children."""
    ticks = 0
    for member in tree(pid):
        if fields := _stat(member):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICK


def pss_mib(pid: int) -> float:
    """Return the memory of a process and its descendants, shared pages divided among sharers."""
    total = 0
    for member in tree(pid):
        try:
            text = Path(f"/proc/{member}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
    return total * 1024 / _MIB


def rss_mib(pid: int) -> float:
    """Return the resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def busy_seconds() -> float:
    """Return the CPU time that all processes of the machine have used."""
    user, nice, system, _, _, irq, softirq, *_ = Path("/proc/stat").read_text().split()[1:9]
    return sum(int(x) for x in (user, nice, system, irq, softirq)) / _TICK


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class Meter:
    """Measures from now on what a server costs, and what strangers do beside it."""

    def __init__(self, pid: int | None = None) -> None:
        """Begin; without a server there are only this process, its children, and strangers."""
        self._pid = pid
        self._started, self._before = time.monotonic(), self._read()

    def read(self) -> tuple[float, float]:
        """Return the CPU seconds of the server, and how many cores strangers kept busy."""
        machine, own, server = (
            now - before for now, before in zip(self._read(), self._before, strict=True)
        )
        strangers = (machine - own - server) / (time.monotonic() - self._started)
        return server, max(0.0, strangers)

    def _read(self) -> tuple[float, float, float]:
        """Return the CPU seconds of the machine, of this process with its clients, and of the
        server, which counts among our children only once it has ended."""
        server = 0.0 if self._pid is None else cpu_seconds(self._pid)
        return busy_seconds(), sum(os.times()[:4]), server
