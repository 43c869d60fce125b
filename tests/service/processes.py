"""A real service process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.load.scrape import scrape, total

QUEUE: Final = 128
"""Images that may wait in one process, by default."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running ``croft serve`` and where it answers."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def value_of(service: Served, name: str, **labels: str) -> float:
    """Return the sum of a metric over all series that have these labels."""
    return total(scrape(service.port), name, **labels)


def all_serve(service: Served, processes: int) -> bool:
    """Say whether so many processes are there, and all of them ready."""
    found = scrape(service.port)
    limit = total(found, "croft_queue_limit_images")
    return limit == processes * QUEUE and total(found, "croft_ready") == 1


@contextmanager
def served(
    bundle: Path, log: Path, *, program: Sequence[str] = ("croft",), **settings: object
) -> Iterator[Served]:
    """Run ``croft serve`` on a free port for the length of the block.

    Args:
        bundle: what it serves.
        log: where its standard error goes.
        program: the module to run in its place, and arguments before ``serve``.
        settings: CROFT_* variables, by their names in ``Settings``.
    """
    command = [sys.executable, "-m", *program, "serve", str(bundle), "--port", "0"]
    variables = {f"CROFT_{name.upper()}": str(value) for name, value in settings.items()}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | variables,
        )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/", greeting)
        assert match, f"no greeting but {greeting!r}:\n{log.read_text()}"
        yield Served(process, int(match[1]))
    finally:
        process.kill()
        process.communicate()
