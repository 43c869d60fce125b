"""Real processes: started, waited for, ended."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(command: Sequence[str], *, ready: str, log: Path) -> Iterator[None]:
    """Run a program for the length of the block, which begins once ``ready`` (a URL) answers.

    Raises:
        RuntimeError: with its output, if the program ended before.
        TimeoutError: if there was no answer within a minute.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_until(lambda: process.poll() is not None or _answers(ready), pause=0.2)
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended:\n{log.read_text()}")
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_until(
    condition: Callable[[], object], *, seconds: float = 60.0, pause: float = 0.01
) -> None:
    """Return once the condition holds, asked again after each pause (seconds).

    Raises:
        TimeoutError: if it did not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(pause)


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
