"""What a person sees while long work runs."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Report = Callable[[int, int], None]
"""Told how many are done, and of how many."""


def say(*lines: str) -> None:
    """Print lines without tearing a progress bar."""
    for line in lines:
        tqdm.write(line, file=sys.stdout)


def say_all(lines: Iterable[str]) -> None:
    """Print lines, indented under the one before."""
    say(*(f"  {line}" for line in lines))


@contextmanager
def bar(what: str, unit: str) -> Iterator[Report]:
    """Show a progress bar; its total becomes known with the first report."""
    # A log file wants a line now and then, not ten a second.
    interval = 0.1 if sys.stderr.isatty() else 30
    with tqdm(desc=f"  {what}", unit=unit, mininterval=interval, dynamic_ncols=True) as shown:

        def report(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield report
