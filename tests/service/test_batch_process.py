"""Batches and a real server: a reader that stops, and the end of the process."""

import io
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from benchmarks.processes import wait_until
from tests.bundles import colour_image
from tests.service.processes import Served, served, value_of
from tests.service.test_archive import zip_of

RED = colour_image("red")
MANY = 8000
LONG = "\U0001f34e" * 250
"""A name that makes each line a kilobyte longer: more than the kernel's buffers hold."""


@pytest.fixture
def drain_seconds() -> int:
    """Return how long the service may drain; a test may say otherwise."""
    return 20


@pytest.fixture
def request_timeout() -> int:
    """Return how long a reader may stop; a test may say otherwise."""
    return 30


@pytest.fixture
def running(
    bundle_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drain_seconds: int,
    request_timeout: int,
) -> Iterator[Served]:
    """Run a service of one worker."""
    settings = {
        "WORKERS": 1,
        "MAX_BATCH": 2,
        "MAX_BATCH_IMAGES": MANY,
        "DRAIN_SECONDS": drain_seconds,
        "REQUEST_TIMEOUT": request_timeout,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"CROFT_{name}", str(value))
    with served(bundle_path, tmp_path / "log") as service:
        yield service


def _many_small() -> bytes:
    """Return a zip file of thousands of images, most of them junk, which is fast to refuse."""
    return zip_of(*[(f"{LONG}{i}", b"junk" if i % 100 else RED) for i in range(MANY)])


def _settled(read: Any) -> float:
    """Return a value once it has stopped to change for half a second."""
    before, deadline = -1.0, time.monotonic() + 30
    while (now := read()) != before:
        assert time.monotonic() < deadline, "it never settles"
        before = now
        time.sleep(0.5)
    return float(now)


def _send_batch(service: Served, body: bytes) -> socket.socket:
    """Ask for lines, over a connection that can hold few of them."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", service.port))
    head = (
        "POST /classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/zip\r\n"
        f"Accept: application/x-ndjson\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def _read_all(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def test_a_reader_that_stops_does_not_grow_the_server(running: Served) -> None:
    """It stops: so do the decisions, long before the end. It reads on: all of them arrive."""
    with _send_batch(running, _many_small()) as connection:
        assert connection.recv(1)
        decided = _settled(lambda: value_of(running, "croft_images_total"))
        assert 0 < decided < MANY - 1000
        assert value_of(running, "croft_images_received_total") == MANY
        assert httpx.post(f"{running.url}/classify", content=RED).status_code == 200
        answer = _read_all(connection)
    assert answer.count(b'{"index":') == MANY
    summary = f'"summary":{{"images":{MANY},"accepted":{MANY // 100},"rejected":0,'
    assert summary.encode() in answer
    assert value_of(running, "croft_images_total") == MANY + 1


def test_a_reader_that_leaves_frees_the_server(running: Served) -> None:
    """It goes in the middle: the rest is cancelled, nothing waits, and the next one is served."""
    with _send_batch(running, _many_small()) as connection:
        assert connection.recv(1)
        decided = _settled(lambda: value_of(running, "croft_images_total"))
    total = _settled(lambda: value_of(running, "croft_images_total"))
    assert total == value_of(running, "croft_images_received_total") == MANY
    cancelled = value_of(running, "croft_images_total", bundle="colours", outcome="cancelled")
    assert 1000 < cancelled <= MANY - decided
    assert value_of(running, "croft_queue_images") == 0
    assert httpx.post(f"{running.url}/classify", content=RED).status_code == 200


@pytest.mark.parametrize("request_timeout", [3])
def test_a_reader_that_stops_for_good_is_cut_off(running: Served, tmp_path: Path) -> None:
    """Two would hold all that batches may; the rest is cancelled, and the next batch is answered.

    One that reads a little now and then, so little that the kernel takes no more for a long time,
    gets all of its lines.
    """
    with (
        _send_batch(running, _many_small()) as stopped,
        _send_batch(running, _many_small()) as slow,
    ):
        pieces = [slow.recv(1)]
        for _ in range(8):
            time.sleep(1)
            pieces.append(slow.recv(20_000, socket.MSG_WAITALL))
        pieces.append(_read_all(slow))
        wait_until(lambda: value_of(running, "croft_images_total", outcome="cancelled") > 1000)
        assert b'"summary":{' not in _read_all(stopped)
    assert b"".join(pieces).count(b'{"index":') == MANY
    assert value_of(running, "croft_images_total") == 2 * MANY
    assert value_of(running, "croft_images_received_total") == 2 * MANY
    assert value_of(running, "croft_queue_images") == 0
    url = f"{running.url}/classify/batch"
    assert httpx.post(url, files={"file": ("a.jpg", RED)}).json()["counts"]["accepted"] == 1
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("drain_seconds", [1])
def test_sigterm_does_not_wait_for_readers_that_stopped(running: Served, tmp_path: Path) -> None:
    """The time to drain, a moment to read the end, and the process is gone without an error."""
    with _send_batch(running, _many_small()) as one, _send_batch(running, _many_small()) as other:
        assert one.recv(1)
        assert other.recv(1)
        _settled(lambda: value_of(running, "croft_images_total"))
        running.process.terminate()
        assert running.process.wait(20) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert "ERROR" not in {line["level"].upper() for line in lines}
    ended = [line for line in lines if line.get("route") == "/classify/batch"]
    assert [line["problem"] for line in ended] == ["client-gone"] * 2
    assert [sum(line["outcomes"].values()) for line in ended] != [MANY] * 2


def _large_image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 3000), (200, 40, 40)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@pytest.mark.parametrize(("images", "drain_seconds"), [(10, 20), (400, 1)])
def test_sigterm_answers_a_batch_in_flight(running: Served, images: int) -> None:
    """All of it if the time suffices; if not, what is decided, and `draining` for the rest."""
    body = zip_of(*[("a.png", _large_image())] * images)
    with _send_batch(running, body) as connection:
        assert connection.recv(1)
        running.process.terminate()
        head, _, lines = _read_all(connection).partition(b"\r\n\r\n")
    assert b"TTP/1.1 200 OK" in head
    *items, last = [json.loads(line) for line in lines.splitlines() if line.startswith(b"{")]
    assert len(items) == last["summary"]["images"] == images
    statuses = {item["status"] for item in items}
    assert statuses == ({200} if images == 10 else {200, 503})
    assert last["summary"]["shed"] == sum(item["status"] == 503 for item in items)
    assert running.process.wait(20) == 0
