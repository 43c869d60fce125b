"""A real service process."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Served:
    """A running ``croft serve`` and where it answers."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(bundle: Path, log: Path) -> Iterator[Served]:
    """Run ``croft serve`` on a free port for the length of the block."""
    command = [sys.executable, "-m", "croft", "serve", str(bundle), "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/", greeting)
        assert match, f"no greeting but {greeting!r}:\n{log.read_text()}"
        yield Served(process, int(match[1]))
    finally:
        process.kill()
        process.communicate()
