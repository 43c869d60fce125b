"""Uploads that stop on their way, at a real server: they end soon, and stand in nobody's way."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from benchmarks.load.accounts import read_accounts
from benchmarks.processes import wait_until
from tests.bundles import colour_image
from tests.service.processes import Served, served, value_of

RED = colour_image("red")
TYPES = {
    "/classify": "image/jpeg",
    "/classify/batch": "application/zip",
    "/v2/models/colours/infer": "application/octet-stream",
}
"""The paths that read images, and a type of body for each."""


@pytest.fixture
def running(bundle_path: Path, tmp_path: Path) -> Iterator[Served]:
    """Run a service that waits three seconds for the next byte."""
    with served(bundle_path, tmp_path / "log", upload_pause_seconds=3) as service:
        yield service


def _begin(service: Served, path: str, *lines: str) -> socket.socket:
    """Send a head, and nothing of the body."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    head = ("POST %s HTTP/1.1", "Host: x", f"Content-Type: {TYPES[path]}", *lines, "", "")
    connection.sendall("\r\n".join(head).replace("%s", path).encode())
    return connection


def _answer(connection: socket.socket) -> bytes:
    """Return an answer, all of it."""
    answer = b""
    while b'"error"' not in answer:
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece
    return answer


def _check_accounts(service: Served) -> None:
    accounts = read_accounts(service.port)
    assert accounts.received == accounts.settled == 1
    assert value_of(service, "croft_queue_images") == 0


@pytest.mark.parametrize("path", TYPES)
@pytest.mark.parametrize("length", ["Transfer-Encoding: chunked", "Content-Length: 5000"])
def test_an_upload_of_which_nothing_comes_is_given_up(
    running: Served, path: str, length: str
) -> None:
    """504 long before the request's time is over, counted as shed; its place is free again."""
    with _begin(running, path, length) as connection:
        answer = _answer(connection)
    assert answer.startswith(b"HTTP/1.1 504 "), answer
    assert b"No byte of the body came for 3 s (CROFT_UPLOAD_PAUSE_SECONDS)" in answer
    assert value_of(running, "croft_images_total", outcome="shed") == 1
    _check_accounts(running)
    assert httpx.post(f"{running.url}/classify", content=RED).status_code == 200


@pytest.mark.parametrize("path", ["/classify/batch", "/v2/models/colours/infer"])
def test_silent_uploads_of_many_images_leave_room_for_single_ones(
    running: Served, path: str
) -> None:
    """Of four, two have half of the bytes and the others 503; `/classify` answers beside them."""
    with ExitStack() as stack:
        silent = [
            stack.enter_context(_begin(running, path, "Transfer-Encoding: chunked"))
            for _ in range(4)
        ]
        wait_until(lambda: value_of(running, "croft_images_received_total") == 4)
        assert httpx.post(f"{running.url}/classify", content=RED).status_code == 200
        statuses = sorted(_answer(connection).split()[1] for connection in silent)
    assert statuses == [b"503", b"503", b"504", b"504"]
    accounts = read_accounts(running.port)
    assert accounts.received == accounts.settled == 5
    assert value_of(running, "croft_images_total", outcome="shed") == 4
    # What the silent ones had is free: a body without bytes holds none.
    assert httpx.post(f"{running.url}{path}").status_code in {400, 415}


def test_an_upload_with_pauses_is_read(running: Served) -> None:
    """Longer than one pause may be, all in all; and then it waits for its answer as others do."""
    with _begin(running, "/classify", f"Content-Length: {len(RED)}") as connection:
        for at in range(0, len(RED), len(RED) // 4 + 1):
            connection.settimeout(1.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.sendall(RED[at : at + len(RED) // 4 + 1])
        connection.settimeout(20)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    _check_accounts(running)
