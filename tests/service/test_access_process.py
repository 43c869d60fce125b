"""Keys and limits of real processes: who is let in, and what is left behind in logs and files."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from benchmarks.load.accounts import read_accounts
from benchmarks.processes import free_port, wait_until
from tests.bundles import colour_image
from tests.service.processes import Served, served

RED = colour_image("red")
CROFT = (sys.executable, "-m", "croft")


def _new_key(file: Path, name: str, *, scope: str = "classify") -> str:
    command = [*CROFT, "keys", "new", name, "--scope", scope, "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _head_alone(service: Served, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Announce a large body, send none of it, and return the answer's status and headers."""
    head = {"Host": "x", "Content-Length": "5000000", **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = connection.recv(65536)
            assert part, "closed without an answer"
            answer += part
    first, *rest = answer.decode().partition("\r\n\r\n")[0].split("\r\n")
    return int(first.split()[1]), {
        name.lower(): value for name, _, value in (line.partition(": ") for line in rest)
    }


@dataclass(frozen=True, slots=True)
class Guarded:
    """A service with keys and a limit of three images an hour, its keys, and where it logs."""

    service: Served
    user: str
    admin: str
    log: Path

    def status(self, key: str) -> int:
        """Classify an image and return the answer's status."""
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{self.service.url}/classify"
        return httpx.post(url, content=RED, headers=headers).status_code


@pytest.fixture
def guarded(bundle_path: Path, tmp_path: Path) -> Iterator[Guarded]:
    """Run it for one test."""
    keys, log = tmp_path / "keys.txt", tmp_path / "log"
    user = _new_key(keys, "user")
    admin = _new_key(keys, "boss", scope="admin")
    with served(
        bundle_path, log, keys_file=str(keys), rate_limit="3/hour", log_level="debug"
    ) as service:
        yield Guarded(service, user, admin, log)


def test_refusals_come_before_the_body_and_count_no_image(guarded: Guarded) -> None:
    """401, 403 and 429 answer a head whose body never comes; received stays what was let in."""
    service, key = guarded.service, {"X-API-Key": guarded.user}
    status, headers = _head_alone(service, "/classify")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert _head_alone(service, "/classify", Authorization="Bearer croft_no")[0] == 401
    assert _head_alone(service, "/bundles/reload", **key)[0] == 403
    assert _head_alone(service, "/not/listed", **key)[0] == 403
    accounts = read_accounts(service.port)
    assert accounts.received == accounts.settled == 0

    assert [guarded.status(guarded.user) for _ in range(3)] == [200] * 3
    status, headers = _head_alone(service, "/classify", **key)
    assert status == 429
    assert headers["content-type"] == "application/problem+json"
    assert 3500 < int(headers["retry-after"]) <= 3600
    assert guarded.status(guarded.admin) == 200
    accounts = read_accounts(service.port)
    assert accounts.received == accounts.settled == 4


def test_a_batch_passes_whole_or_not_at_all(guarded: Guarded) -> None:
    """Four can never pass; two do, two more do not, and the accounts have all of them."""
    url, headers = f"{guarded.service.url}/classify/batch", {"X-API-Key": guarded.user}

    def ask(images: int) -> httpx.Response:
        files = [("file", (f"{i}.jpg", RED)) for i in range(images)]
        return httpx.post(url, files=files, headers=headers)

    assert ask(2).json()["counts"]["accepted"] == 2
    refused = ask(4)
    assert (refused.status_code, refused.json()["title"]) == (429, "Too many requests")
    assert "a request of 4 never passes. Send at most 3" in refused.json()["detail"]
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    assert ask(2).status_code == 429  # the one image that the refused request was let in with
    accounts = read_accounts(guarded.service.port)
    assert accounts.received == accounts.settled == 6


def test_no_key_is_left_in_logs_or_files(guarded: Guarded) -> None:
    """At the level debug, known and unknown keys, in each header and in the query."""
    wrong = "croft_" + "w" * 43
    for key in (guarded.user, guarded.admin, wrong):
        guarded.status(key)
        httpx.get(f"{guarded.service.url}/bundles", headers={"X-API-Key": key})
        httpx.get(f"{guarded.service.url}/bundles", headers={"Authorization": f"Basic {key}"})
        httpx.post(f"{guarded.service.url}/nope", params={"key": key}, headers={"X-API-Key": key})
    guarded.service.process.terminate()
    assert guarded.service.process.wait(20) == 0

    log = guarded.log.read_text()
    assert {"user", "boss"} <= {json.loads(line).get("key_name") for line in log.splitlines()}
    kept = (guarded.log.parent / "keys.txt").read_text()
    for key in (guarded.user, guarded.admin, wrong):
        secret = key.removeprefix("croft_")
        assert secret not in log
        assert secret not in kept


def test_an_address_for_others_is_refused_until_somebody_decides(bundle_path: Path) -> None:
    """The process ends with status 2, before it listens, and says both ways out."""
    command = [*CROFT, "serve", str(bundle_path), "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "CROFT_KEYS_FILE=" in done.stderr
    assert "CROFT_AUTH=off" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_trusted_proxy_says_whose_request_it_is(bundle_path: Path, tmp_path: Path) -> None:
    """Without keys, callers behind a proxy on this machine are told apart by what it forwards."""
    with served(bundle_path, tmp_path / "log", rate_limit="1/hour") as service:
        statuses = [
            httpx.post(
                f"{service.url}/classify", content=RED, headers={"X-Forwarded-For": address}
            ).status_code
            for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2")
        ]
    assert statuses == [200, 200, 429, 200, 429]


# ------------------------------------------------------------------------------------ Redis


@contextmanager
def _redis(port: int, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed; on Debian: apt-get install redis-server")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as process:
        try:
            wait_until(lambda: _listens(port))
            yield process
        finally:
            process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _connect(services: list[Served], port: int) -> None:
    """Let the first request of each open its connection, and forget that it was counted.

    On a busy machine that takes longer than a request waits, which then passes uncounted, as all
    do for the next five seconds.
    """
    for service in services:
        _status(service)
    time.sleep(5.5)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(16) == b"+OK\r\n"


def _status(service: Served) -> int:
    return httpx.post(f"{service.url}/classify", content=RED).status_code


@pytest.mark.slow
def test_processes_that_share_a_redis_share_the_limit(bundle_path: Path, tmp_path: Path) -> None:
    """Four of six requests pass, whichever of two processes they reach; then Redis dies.

    While it is gone every request is let through, and one line says so.
    """
    port = free_port()
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    storage = f"redis://127.0.0.1:{port}/1"
    with _redis(port, tmp_path) as redis, ExitStack() as stack:
        services = [
            stack.enter_context(
                served(bundle_path, log, rate_limit="4/hour", rate_limit_storage=storage)
            )
            for log in logs
        ]
        _connect(services, port)
        statuses = [_status(service) for _ in range(3) for service in services]
        assert statuses == [200] * 4 + [429] * 2
        redis.kill()
        redis.wait(20)
        assert [_status(service) for _ in range(5) for service in services] == [200] * 10
    for log in logs:
        complaints = [line for line in log.read_text().splitlines() if "let through" in line]
        assert len(complaints) == 1  # at most one a minute


@pytest.mark.slow
def test_a_redis_counts_all_images_of_a_batch_or_one(bundle_path: Path, tmp_path: Path) -> None:
    """Three of five; three more do not fit and leave one, which a single image takes."""
    port = free_port()
    storage = f"redis://127.0.0.1:{port}/1"
    limit = {"rate_limit": "5/hour", "rate_limit_storage": storage}
    files = [("file", (f"{i}.jpg", RED)) for i in range(3)]
    with _redis(port, tmp_path), served(bundle_path, tmp_path / "log", **limit) as service:
        _connect([service], port)
        answers = [httpx.post(f"{service.url}/classify/batch", files=files) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert [_status(service) for _ in range(2)] == [200, 429]


def test_a_redis_that_never_was_stops_nobody(bundle_path: Path, tmp_path: Path) -> None:
    """The service starts and answers; its log says that it does not count."""
    log, nobody = tmp_path / "log", f"redis://:SECRET@127.0.0.1:{free_port()}"
    with served(bundle_path, log, rate_limit="1/hour", rate_limit_storage=nobody) as service:
        assert [_status(service) for _ in range(3)] == [200] * 3
    lines = log.read_text()
    assert lines.count("let through") == 1
    assert "SECRET" not in lines
