"""Servers to measure: how each is started, asked and stopped."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.load import requests
from benchmarks.load.machine import tree

ROOT: Final = Path(__file__).parents[2]
_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Server:
    """One way to serve the model."""

    name: str
    command: tuple[str, ...]
    """``{port}`` stands for the port."""
    path: str = "/predict"
    raw: bool = False
    """Whether the body is the image itself; otherwise it is a form."""
    label_at: tuple[str | int, ...] = ("label",)
    environment: Mapping[str, str] = field(default_factory=dict)

    def request(self, image: bytes) -> bytes:
        """Return the whole request for an image."""
        return (requests.raw if self.raw else requests.form)(self.path, image)


def croft(*arguments: str, **settings: object) -> Server:
    """Return ``croft serve`` of this checkout.

    Args:
        arguments: of the command line.
        settings: CROFT_* variables, in small letters and without the prefix.
    """
    return Server(
        "Croft",
        (sys.executable, "-m", "croft", "serve", *arguments, "--port", "{port}"),
        path="/classify",
        raw=True,
        label_at=("candidates", 0, "label"),
        environment={f"CROFT_{name.upper()}": str(value) for name, value in settings.items()},
    )


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    server: Server
    pid: int
    port: int

    def load(
        self,
        images: Sequence[bytes],
        labels: Sequence[str],
        *,
        connections: int,
        seconds: float,
        rate: float = 0.0,
    ) -> dict[str, Any]:
        """Send images from another process; see ``benchmarks.load.generator``."""
        job = {
            "port": self.port,
            "requests": [base64.b64encode(self.server.request(i)).decode() for i in images],
            "expected": list(labels),
            "label_at": list(self.server.label_at),
            "connections": connections,
            "seconds": seconds,
            "rate": rate,
        }
        result: dict[str, Any] = run_json("benchmarks.load.generator", given=json.dumps(job))
        return result


@contextmanager
def running(server: Server, log: Path) -> Iterator[Running]:
    """Start a server on a free port, wait until it answers, and end it with its descendants.

    Raises:
        RuntimeError: it ended or did not answer in time; the log says why.
    """
    port = _free_port()
    command = [part.format(port=port) for part in server.command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **server.environment}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, port, log)
        yield Running(server, process.pid, port)
    finally:
        _end(process)


def run_json(module: str, *arguments: str, given: str = "") -> Any:
    """Run a module of this checkout in a process of its own, and return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        input=given, capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait for any answer at all: the port may be open long before the model is loaded."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as stream:
                stream.sendall(b"GET /docs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if stream.recv(1):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} does not answer:\n{log.read_text()[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    members = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    for pid in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
