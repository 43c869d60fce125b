"""A load generator in a process of its own: many connections, one thread, little CPU a request.

    python -m benchmarks.load.generator < JOB.json > RESULT.json

A job is the fields of ``Job``. Without a rate the loop is closed: each connection sends its next
image when the last one was answered. With a rate it is open: requests start on time whether
answers came or not, and a request's time counts from when it was due.
"""

import base64
import json
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

_READ_BYTES: Final = 65536
_LAST_ANSWERS_SECONDS: Final = 30.0
"""How long it waits for what is still on its way at the end."""


@dataclass(slots=True)
class Job:
    """What to send, how often and for how long."""

    port: int
    requests: list[str]
    """Whole HTTP requests in base64, sent in turn."""
    expected: list[str]
    """The label that each must get."""
    label_at: list[str | int]
    """Where an answer has its label: keys and indices."""
    connections: int
    seconds: float
    rate: float = 0.0
    """Requests a second; 0 for a closed loop."""


@dataclass(slots=True)
class Connection:
    """One kept-alive connection and the request on it."""

    stream: socket.socket
    image: int = -1
    due: float = 0.0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Answer:
    """What came back."""

    image: int
    due: float
    ended: float
    status: int
    retry_after: bool
    body: bytes


class Generator:
    """Runs one job."""

    def __init__(self, job: Job) -> None:
        """Connect."""
        self.job = job
        self.requests = [base64.b64decode(text) for text in job.requests]
        self.answers: list[Answer] = []
        self.broken = self.skipped = 0
        self.patience_seconds = _LAST_ANSWERS_SECONDS
        self._next = 0
        self._selector = selectors.DefaultSelector()
        self._idle = [self._connect() for _ in range(job.connections)]
        self._busy = 0

    def run(self) -> None:
        """Send until the time is over, wait for the last answers, and hang up."""
        self.started = time.monotonic()
        end = self.started + self.job.seconds
        turns = self._open_loop(end) if self.job.rate else self._closed_loop(end)
        for seconds in turns:
            self._turn(seconds)
        self.ended = time.monotonic()
        while self._busy and time.monotonic() < end + self.patience_seconds:
            self._turn(0.1)
        self.broken += self._busy  # never answered
        for key in list(self._selector.get_map().values()):
            key.data.stream.close()
        self._selector.close()

    def _closed_loop(self, end: float) -> Iterator[float]:
        while (now := time.monotonic()) < end:
            while self._idle:
                self._send(self._idle.pop(), now)
            yield 0.05

    def _open_loop(self, end: float) -> Iterator[float]:
        due = self.started
        while (now := time.monotonic()) < end:
            while due <= now:
                if self._idle:
                    self._send(self._idle.pop(), due)
                else:
                    self.skipped += 1
                due += 1 / self.job.rate
            yield max(0.0, due - time.monotonic())

    def _turn(self, seconds: float) -> None:
        for key, events in self._selector.select(seconds):
            connection: Connection = key.data
            try:
                if events & selectors.EVENT_WRITE:
                    self._write(connection)
                if events & selectors.EVENT_READ:
                    self._read(connection)
            except OSError:
                self._lost(connection)

    def _connect(self) -> Connection:
        connection = Connection(socket.create_connection(("127.0.0.1", self.job.port), 10))
        connection.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.stream.setblocking(False)
        self._selector.register(connection.stream, selectors.EVENT_READ, connection)
        return connection

    def _send(self, connection: Connection, due: float) -> None:
        connection.image = self._next % len(self.requests)
        connection.due = due
        connection.unsent = memoryview(self.requests[connection.image])
        self._next += 1
        self._busy += 1
        try:
            self._write(connection)
        except OSError:
            self._lost(connection)

    def _write(self, connection: Connection) -> None:
        try:
            sent = connection.stream.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        connection.unsent = connection.unsent[sent:]
        events = selectors.EVENT_READ
        if connection.unsent:
            events |= selectors.EVENT_WRITE
        if self._selector.get_key(connection.stream).events != events:
            self._selector.modify(connection.stream, events, connection)

    def _read(self, connection: Connection) -> None:
        data = connection.stream.recv(_READ_BYTES)
        if not data:
            self._lost(connection)
            return
        connection.received += data
        head, blank, body = connection.received.partition(b"\r\n\r\n")
        if not blank:
            return
        lower = bytes(head).lower()
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.answers.append(
            Answer(
                connection.image,
                connection.due,
                time.monotonic(),
                int(head[9:12]),
                b"\r\nretry-after:" in lower,
                bytes(body),
            )
        )
        connection.received.clear()
        self._busy -= 1
        if connection.unsent or b"\r\nconnection: close" in lower:
            self._replace(connection)
        else:
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        """Count a request that its server left without an answer; an idle connection is no loss."""
        if connection not in self._idle:
            self.broken += 1
            self._busy -= 1
        else:
            self._idle.remove(connection)
        self._replace(connection)

    def _replace(self, connection: Connection) -> None:
        self._selector.unregister(connection.stream)
        connection.stream.close()
        self._idle.append(self._connect())


def summary(generator: Generator, cpu_seconds: float) -> dict[str, Any]:
    """Return counts and times of everything that was answered."""
    job, answers = generator.job, generator.answers
    good = [a for a in answers if a.status == 200]
    in_time = [a for a in good if a.ended <= generator.ended]
    times = sorted(a.ended - a.due for a in good)
    refused = [a for a in answers if a.status == 503]
    return {
        "seconds": generator.ended - generator.started,
        "ended": generator.ended,
        "sent": len(answers) + generator.broken,
        "statuses": dict(Counter(a.status for a in answers)),
        "broken": generator.broken,
        "skipped": generator.skipped,
        "wrong": sum(_label(a.body, job.label_at) != job.expected[a.image] for a in good),
        "per_second": len(in_time) / (generator.ended - generator.started),
        "p50_ms": 1e3 * _quantile(times, 0.50),
        "p99_ms": 1e3 * _quantile(times, 0.99),
        "max_ms": 1e3 * _quantile(times, 1.0),
        "refused_p99_ms": 1e3 * _quantile(sorted(a.ended - a.due for a in refused), 0.99),
        "refused_with_retry_after": sum(a.retry_after for a in refused),
        "cpu_seconds": cpu_seconds,
    }


def _label(body: bytes, path: list[str | int]) -> object:
    try:
        found: Any = json.loads(body)
        for key in path:
            found = found[key]
    except (ValueError, LookupError, TypeError):
        return None
    return found


def _quantile(ascending: list[float], share: float) -> float:
    if not ascending:
        return float("nan")
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def main() -> None:
    """Run the job on standard input."""
    generator = Generator(Job(**json.load(sys.stdin)))
    cpu = time.process_time()
    generator.run()
    json.dump(summary(generator, time.process_time() - cpu), sys.stdout)


if __name__ == "__main__":
    main()
