"""Tens of thousands of damaged images and requests against a real service.

    python -m benchmarks.fuzz [--count 20000] [--seed 1]

Files of every format that the service reads are cut, flipped, spliced and lied about; so are
forms, JSON and HTTP itself. Nothing may get a 5xx, hang, or make memory grow, and the service's
accounts must balance and agree with the client. Prints what came back; exits 1 on a violation.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.fuzzing.client import CLOSED, HUNG, LEFT, Tally, send_all
from benchmarks.fuzzing.mutants import mutant
from benchmarks.fuzzing.seeds import seeds
from benchmarks.load.accounts import Accounts, read_accounts
from benchmarks.load.machine import rss_mib
from benchmarks.load.servers import ROOT, croft, running
from service.loading import shipped_bundle
from training.progress import say

THREADS: Final = 8
SAMPLES: Final = 100
"""How often memory is looked at during a run."""
_NAMES: Final = {CLOSED: "hung up", HUNG: "hung", LEFT: "client left"}
_SETTLE_SECONDS: Final = 10.0
_ENOUGH: Final = 10_000
"""Requests from which on memory says anything: before, pools still fill up."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found."""

    tally: Tally
    accounts: Accounts
    rss_mib: list[float]
    seconds: float

    def violations(self) -> list[str]:
        """Say what went wrong; nothing if all is well."""
        return [*self._bad_answers(), *self._growth(), *self._imbalance()]

    def _bad_answers(self) -> list[str]:
        bad = Counter((m.kind, _name(status)) for m, status in self.tally.bad)
        return [f"{n} times {status} for a {kind}" for (kind, status), n in bad.items()]

    def _growth(self) -> list[str]:
        """Compare the last fifth with the second: the first warms caches and pools up."""
        if self.tally.statuses.total() < _ENOUGH:
            return []
        fifth = len(self.rss_mib) // 5
        early, late = median(self.rss_mib[fifth : 2 * fifth]), median(self.rss_mib[-fifth:])
        return [f"memory grew from {early:.0f} to {late:.0f} MiB"] if late > 1.1 * early + 8 else []

    def _imbalance(self) -> list[str]:
        received, settled = self.accounts.received, self.accounts.settled
        answered = settled - self.accounts.outcomes.get("cancelled", 0)
        seen, left = self.tally.from_app, self.tally.statuses[LEFT]
        problems = []
        if received != settled:
            problems.append(f"{received} images received, {settled} with an outcome")
        if not seen <= answered <= seen + left:
            problems.append(f"{answered} images answered, the client saw {seen} ({left} left)")
        return problems


def main() -> int:
    """Run it; 1 on a violation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/fuzz.json")
    args = parser.parse_args()
    golden = [path.read_bytes() for path in sorted(shipped_bundle().glob("golden/*.jpg"))]
    with running(croft(), args.cache / "logs" / "fuzz.log") as target:
        found = fuzz(target.port, target.pid, golden, count=args.count, seed=args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figures = as_json(found)
    args.out.write_text(json.dumps(figures, indent=1) + "\n")
    say(summary(figures))
    return 1 if figures["violations"] else 0


def fuzz(port: int, pid: int, images: Sequence[bytes], *, count: int, seed: int) -> Found:
    """Send so many damaged requests to a service, made of these images."""
    files, started = seeds(images), time.monotonic()
    before, memory = read_accounts(port), [rss_mib(pid)]

    def look(done: int) -> None:
        if done % max(1, count // SAMPLES) == 0:
            memory.append(rss_mib(pid))

    mutants = (mutant(index, seed=seed, files=files) for index in range(count))
    tally = send_all(port, mutants, threads=THREADS, on_answer=look)
    return Found(tally, _settled(port, before), memory, time.monotonic() - started)


def _settled(port: int, before: Accounts) -> Accounts:
    """Return the accounts once nothing is in flight, or as they are after some seconds."""
    end = time.monotonic() + _SETTLE_SECONDS
    while True:
        accounts = read_accounts(port).since(before)
        if accounts.received == accounts.settled or time.monotonic() > end:
            return accounts
        time.sleep(0.1)


def as_json(found: Found) -> dict[str, Any]:
    """Return the figures."""
    return {
        "requests": found.tally.statuses.total(),
        "seconds": found.seconds,
        "statuses": {_name(s): n for s, n in sorted(found.tally.statuses.items())},
        "received": found.accounts.received,
        "outcomes": found.accounts.outcomes,
        "answers_seen": found.tally.from_app,
        "rss_mib": [round(mib, 1) for mib in found.rss_mib],
        "violations": found.violations(),
    }


def summary(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    counts = ", ".join(f"{n:,} {name}" for name, n in figures["statuses"].items())
    outcomes = ", ".join(f"{n:,} {name}" for name, n in figures["outcomes"].items() if n)
    rss_mib = figures["rss_mib"]
    fifth = len(rss_mib) // 5
    fifths = [median(rss_mib[i * fifth : (i + 1) * fifth]) for i in range(5)]
    memory = ", ".join(f"{mib:.0f}" for mib in fifths)
    return "\n".join(
        [
            f"{figures['requests']:,} requests in {figures['seconds']:.0f} s: {counts}.",
            f"The service received {figures['received']:,} images: {outcomes}.",
            f"Memory by fifths of the run: {memory} MiB, at most {max(rss_mib):.0f}.",
            *(figures["violations"] or ["No violation."]),
        ]
    )


def _name(status: int) -> str:
    return _NAMES.get(status, str(status))


if __name__ == "__main__":
    sys.exit(main())
