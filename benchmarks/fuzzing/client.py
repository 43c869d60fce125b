"""Sends damaged requests, each on a connection of its own, and notes what comes back."""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from benchmarks.fuzzing.mutants import Mutant

TIMEOUT_SECONDS: Final = 20.0
_PATIENCE_SECONDS: Final = 1.0
"""How long a client stays that announced more than it sent."""

CLOSED: Final = 0
"""In place of a status: the server hung up, as it may on what is not HTTP."""
HUNG: Final = -1
"""In place of a status: nothing came in time."""
LEFT: Final = -2
"""In place of a status: the server waited for the rest, and the client left."""


@dataclass(slots=True)
class Tally:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    from_app: int = 0
    """Answers of the application; what is not HTTP is refused before it."""
    bad: list[tuple[Mutant, int]] = field(default_factory=list)
    """Requests that got a 5xx, or HTTP that got no answer."""

    def add(self, mutant: Mutant, status: int, from_app: bool) -> None:
        """Count one."""
        self.statuses[status] += 1
        self.from_app += from_app
        if status == HUNG or status >= 500 or (status == CLOSED and mutant.is_http):
            self.bad.append((mutant, status))


def send_all(
    port: int, mutants: Iterable[Mutant], *, threads: int, on_answer: Callable[[int], None]
) -> Tally:
    """Send every request, ``threads`` at a time; ``on_answer`` is told how many are done."""
    tally = Tally()
    with ThreadPoolExecutor(threads) as pool:
        for mutant, status, from_app in pool.map(lambda m: (m, *send(port, m)), mutants):
            tally.add(mutant, status, from_app)
            on_answer(tally.statuses.total())
    return tally


def send(port: int, mutant: Mutant) -> tuple[int, bool]:
    """Return the status of the answer, and whether the application gave it."""
    seconds = TIMEOUT_SECONDS if mutant.is_http else _PATIENCE_SECONDS
    received = bytearray()
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as stream:
            stream.settimeout(seconds)
            with contextlib.suppress(ConnectionError):  # refused early: the answer is there
                stream.sendall(mutant.data)
            while not _is_whole(received) and (data := stream.recv(65536)):
                received += data
    except TimeoutError:
        return (HUNG if mutant.is_http else LEFT), False
    except ConnectionError:
        pass  # what came before it counts
    head = _final(received)
    return (int(head[9:12]) if head else CLOSED), b"\r\nx-request-id: " in head.lower()


def _final(received: bytes | bytearray) -> bytes:
    """Return the last head that has come, without interim answers such as 100 Continue."""
    while received.startswith(b"HTTP/1.1 1"):
        received = received.partition(b"\r\n\r\n")[2]
    return bytes(received.partition(b"\r\n\r\n")[0])


def _is_whole(received: bytearray) -> bool:
    head = _final(received).lower()
    _, found, rest = head.partition(b"\r\ncontent-length: ")
    if not found:
        return False
    length = int(rest.partition(b"\r\n")[0])
    return len(received) >= received.lower().find(head) + len(head) + 4 + length
