"""Real requests to a real service: what the demo sends, and what it reads back."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ConfigError

READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One image, what it shows, and what the service answered."""

    name: str
    style: str
    status: int
    body: dict[str, Any]

    @property
    def rejected(self) -> bool:
        """Whether the service called it unknown."""
        return bool(self.body.get("rejected"))

    @property
    def right(self) -> bool:
        """Whether the answer names what the image shows."""
        return self.body.get("label") == self.name


@contextmanager
def running_service(bundle: Path, *, port: int, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start ``croft serve`` as a process of its own; end it on the way out.

    Args:
        bundle: what it serves.
        port: on the loopback address.
        log: where its output goes.

    Raises:
        ConfigError: it ended, or was not ready in time; the message has the end of its log.
    """
    check_free(port)
    command = [sys.executable, "-m", "croft", "serve", str(bundle), "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, port, log)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=READY_SECONDS)


def check_free(port: int) -> None:
    """Make sure that nobody else would answer in the service's place.

    Raises:
        ConfigError: the port is taken.
    """
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ConfigError(f"Port {port} is taken ({error}). Give another with --port.") from error


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise ConfigError(
        f"The service did not become ready on port {port}. The end of {log}:\n{last_lines}"
    )


def classify(port: int, name: str, style: str, data: bytes) -> Sent:
    """Post one image file to ``/classify`` and return the answer, whatever its status."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/classify",
        data=data,
        headers={"Content-Type": "application/octet-stream"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Sent(name, style, response.status, json.load(response))
    except urllib.error.HTTPError as error:
        with error:
            return Sent(name, style, error.code, json.load(error))


def classify_all(
    port: int, images: Sequence[tuple[str, str, bytes]], *, on_answer: Callable[[], object]
) -> list[Sent]:
    """Post (name, style, data) images from four clients at once; answers keep the order."""

    def post(image: tuple[str, str, bytes]) -> Sent:
        sent = classify(port, *image)
        on_answer()
        return sent

    with ThreadPoolExecutor(4) as clients:
        return list(clients.map(post, images))
