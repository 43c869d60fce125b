"""Real processes for tests: started, waited for, ended."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running(command: Sequence[str], *, ready: str, log: Path) -> Iterator[None]:
    """Run a program for the length of the block, which begins once ``ready`` (a URL) answers."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_until(lambda: process.poll() is not None or _answers(ready))
            assert process.poll() is None, f"{command[0]} ended:\n{log.read_text()}"
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Return once the condition holds, asked five times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.2)


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def post(url: str, body: bytes, *, media_type: str) -> int:
    """Send a body and return the status of the answer, whatever it is."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": media_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def query(prometheus: str, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
    """Return the series that Prometheus answers with, now or ``at`` seconds since 1970."""
    moment = {} if at is None else {"time": f"{at:.3f}"}
    parameters = urllib.parse.urlencode({"query": expression, **moment})
    found: list[dict[str, Any]] = _ask(f"{prometheus}/api/v1/query?{parameters}")["result"]
    return found


def rules_of(prometheus: str) -> list[dict[str, Any]]:
    """Return every rule that Prometheus has loaded, with how its last evaluation went."""
    groups = _ask(f"{prometheus}/api/v1/rules")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _ask(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as response:
        answer = json.load(response)
    assert answer["status"] == "success"
    data: dict[str, Any] = answer["data"]
    return data


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
