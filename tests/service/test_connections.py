"""Connections that ask for nothing, too much or too slowly, over sockets to a real process."""

import itertools
import json
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from benchmarks.processes import wait_until
from service.connections import HEAD_BYTES, HEAD_SECONDS, affordable
from tests.bundles import colour_image
from tests.service.processes import Served, served

RED = colour_image("red")
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET /healthz HTTP/1.1\r\nHost: "


@pytest.fixture(scope="module")
def service(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run a service with ordinary settings."""
    with served(bundle_path, tmp_path_factory.mktemp("door") / "log") as running:
        yield running


def _connect(service: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=20)


def _ask(connection: socket.socket, request: bytes) -> bytes:
    """Send a request, and return its answer."""
    connection.sendall(request)
    answer = b""
    while (length := _length(answer)) is None or len(answer) < length:
        piece = connection.recv(65536)
        assert piece, f"closed after {answer!r}"
        answer += piece
    return answer


def _length(answer: bytes) -> int | None:
    """Return how long an answer is that has begun, None if it does not say yet."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: (\d+)", head)
    return len(head) + len(end) + int(found[1]) if found and end else None


def _rest(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    received = b""
    with suppress(ConnectionResetError, BrokenPipeError):
        while piece := connection.recv(65536):
            received += piece
    return received


def _is_open(connection: socket.socket) -> bool:
    """Say whether nothing came: no answer and no end."""
    return not select.select([connection], [], [], 0)[0]


def _upload(length: int, *, path: bytes = b"/classify") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path, length)


@pytest.mark.parametrize(
    "head",
    [
        HALF + HEAD_BYTES * b"x",
        HALF + b"x\r\n" + HEAD_BYTES // 7 * b"ab: c\r\n",
        HALF + HEAD_BYTES * b"x" + b"\r\n\r\n",
        b"GET /" + HEAD_BYTES * b"x",
    ],
    ids=["one-header", "many-headers", "complete", "address"],
)
def test_a_head_that_is_too_large_is_refused(service: Served, head: bytes) -> None:
    """Its connection is closed with 431, also if all of it has come at once."""
    with _connect(service) as connection:
        connection.sendall(head)
        assert _rest(connection).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_a_head_without_end_is_cut_off(service: Served) -> None:
    """Nobody gets to send megabytes of it."""
    with _connect(service) as connection, pytest.raises(OSError, match=r"reset|pipe"):
        connection.sendall(HALF + 64 * 2**20 * b"x")


def test_a_large_head_is_read(service: Served) -> None:
    """Up to the limit nothing is refused, and large bodies do not count."""
    with _connect(service) as connection:
        head = HALF + (HEAD_BYTES - 100) * b"x" + b"\r\n\r\n"
        assert _ask(connection, head).startswith(b"HTTP/1.1 200 ")
        for _ in range(2):
            body = 4 * HEAD_BYTES * b"x"
            assert _ask(connection, _upload(len(body)) + body).startswith(b"HTTP/1.1 415 ")
        assert _ask(connection, HEALTH).startswith(b"HTTP/1.1 200 ")


def test_trailers_are_limited_as_heads_are(service: Served) -> None:
    """What follows a chunked body is not kept without end, either."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with _connect(service) as connection, pytest.raises(OSError, match=r"reset|pipe"):
        connection.sendall(head + b"1\r\nx\r\n0\r\n" + 8 * 2**20 * b"ab: c\r\n")


@pytest.mark.slow
def test_who_does_not_ask_in_time_is_closed(service: Served) -> None:
    """Silent from the start, half a head, one byte now and then; idle connections stay."""
    with ExitStack() as stack:
        silent, half, slow, second, idle = (
            stack.enter_context(_connect(service)) for _ in range(5)
        )
        for connection in (second, idle):
            assert b" 200 OK" in _ask(connection, HEALTH)
        half.sendall(HALF)
        second.sendall(HALF)
        late = [silent, half, slow, second]
        started = time.monotonic()
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(100):
                slow.sendall(b"\r\n" if _is_open(half) else b"G")
                if not any(map(_is_open, late)):
                    break
                assert time.monotonic() < started + 3 * HEAD_SECONDS
                time.sleep(0.5)
        wait_until(lambda: not any(map(_is_open, late)), seconds=HEAD_SECONDS)
        assert time.monotonic() > started + HEAD_SECONDS - 1
        assert [_rest(connection) for connection in late] == 4 * [b""]
        assert b" 200 OK" in _ask(idle, HEALTH)


def test_the_longest_silent_make_room(bundle_path: Path, tmp_path: Path) -> None:
    """However many ask nothing: no more than the limit stay open, and who asks is answered."""
    with ExitStack() as stack:
        log = tmp_path / "log"
        running = stack.enter_context(served(bundle_path, log, max_connections=10))
        silent = []
        for _ in range(40):
            silent.append(stack.enter_context(_connect(running)))
            with _connect(running) as connection:
                assert b" 200 OK" in _ask(connection, HEALTH)
        wait_until(lambda: sum(map(_is_open, silent)) <= 10)
        assert not any(map(_is_open, silent[:30]))
        assert _is_open(silent[-1])
        wait_until(lambda: "to keep within 10 (CROFT_MAX_CONNECTIONS)" in log.read_text())


def test_those_that_are_answered_stay(bundle_path: Path, tmp_path: Path) -> None:
    """Where nobody waits, the newest is closed, and no request suffers."""
    with ExitStack() as stack:
        running = stack.enter_context(served(bundle_path, tmp_path / "log", max_connections=3))
        uploads = [stack.enter_context(_connect(running)) for _ in range(3)]
        for connection in uploads:
            head = _upload(len(RED)).removesuffix(b"\r\n") + b"Expect: 100-continue\r\n\r\n"
            connection.sendall(head)
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        with _connect(running) as newest:
            assert _rest(newest) == b""
        for connection in uploads:
            assert _ask(connection, RED).startswith(b"HTTP/1.1 200 OK")
        with _connect(running) as newest:  # they wait now, the first one longest
            assert b" 200 OK" in _ask(newest, HEALTH)
        assert _rest(uploads[0]) == b""
        assert _is_open(uploads[1])


@pytest.mark.slow
def test_a_connection_is_kept_for_the_next_request(service: Served) -> None:
    """Proxies keep theirs for a minute; five seconds would be too short."""
    with _connect(service) as connection:
        assert b" 200 OK" in _ask(connection, HEALTH)
        time.sleep(7)
        assert b" 200 OK" in _ask(connection, HEALTH)


def test_idle_connections_are_closed(bundle_path: Path, tmp_path: Path) -> None:
    """After CROFT_KEEP_ALIVE_SECONDS, also one whose refused upload has never ended."""
    with (
        served(bundle_path, tmp_path / "log", keep_alive_seconds=1) as running,
        _connect(running) as idle,
        _connect(running) as refused,
    ):
        assert b" 200 OK" in _ask(idle, HEALTH)
        assert b" 413 " in _ask(refused, _upload(10**9))
        refused.sendall(b"x")
        _rest(idle)
        _rest(refused)


def test_requests_may_come_together(service: Served) -> None:
    """Each is answered in its turn, and the connection stays."""
    with _connect(service) as connection:
        upload = _upload(len(RED)) + RED
        received = _ask(connection, upload + 2 * HEALTH)
        while received.count(b'{"live":true') < 2:
            received += connection.recv(65536)
        assert received.count(b"HTTP/1.1 200 OK") == 3
        assert b" 200 OK" in _ask(connection, HEALTH)


def test_a_path_has_one_spelling(service: Served) -> None:
    """With a slash too many it is not found, and nobody is sent to another address."""
    with _connect(service) as connection:
        answer = _ask(connection, _upload(len(RED), path=b"/classify/") + RED)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"location:" not in answer.lower()


def test_other_protocols_are_not_spoken(service: Served) -> None:
    """Whoever asks for a WebSocket gets the answer that anybody gets."""
    with _connect(service) as connection:
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n"
        answer = _ask(connection, HEALTH.removesuffix(b"\r\n") + upgrade)
        assert answer.startswith(b"HTTP/1.1 200 OK")


def test_the_end_needs_no_descriptors(bundle_path: Path, tmp_path: Path) -> None:
    """SIGTERM is obeyed also where not one more can be had."""
    log = tmp_path / "log"
    with served(bundle_path, log) as running, _connect(running) as connection:
        assert b" 200 OK" in _ask(connection, HEALTH)
        pid = running.process.pid
        taken = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
        full = next(number for number in itertools.count() if number not in taken)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (full, full))
        running.process.terminate()
        assert running.process.wait(20) == 0
    assert "Traceback" not in log.read_text()
    assert {json.loads(line)["level"] for line in log.read_text().splitlines()} == {"info"}


@pytest.mark.parametrize(
    ("descriptors", "most"), [(1024, 800), (864, 800), (128, 64), (10, 1), (-1, 800)]
)
def test_descriptors_limit_connections(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, most: int
) -> None:
    """What ``ulimit -n`` does not leave room for is not promised."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, 4096))
    assert affordable(800) == most


def test_without_httptools_the_service_says_so() -> None:
    """It does not fall back on a parser without these limits."""
    code = (
        "import sys; sys.modules['httptools'] = None\n"
        "from croft.cli import main; sys.exit(main(['serve', '--port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs the package `httptools`" in done.stderr
