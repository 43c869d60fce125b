"""Many heads on one encoder: what they cost beside one.

    python -m benchmarks.many_bundles [--bundles 100] [--requests 1000] [--repeats 3] [--out FILE]

Serves the shipped Toybox bundle under one name and under many, each a bundle of its own with its
own head and calibration and with the same encoder file (a hard link). One client asks them in
turn. Prints the table of docs/deploy.md, medians of the repeats; every repeat is written to --out.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.machine import pss_mib
from benchmarks.load.scrape import scrape, total
from benchmarks.load.servers import ROOT, Running, croft, running
from models.bundle import ENCODER, MANIFEST
from service.loading import shipped_bundle
from service.settings import Settings
from training.progress import say

_WARM_UP = 100


@dataclass(frozen=True, slots=True)
class Row:
    """What so many bundles cost."""

    bundles: int
    start_s: float
    reload_s: float
    memory_mib: float
    encoders: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure one and many, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundles", type=int, default=100)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/many_bundles.json")
    args = parser.parse_args()
    rows = []
    for _ in range(args.repeats):  # by turns, since other work on the machine comes and goes
        for count in (1, args.bundles):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(asdict(measure(Path(folder), count, args.requests)))
    args.out.write_text(json.dumps(rows, indent=1) + "\n")
    say(table(rows))


def measure(folder: Path, count: int, requests: int) -> Row:
    """Serve so many bundles and ask them in turn."""
    names = [f"toybox-{index:03}" for index in range(count)]
    encoder = Path(shutil.copy(shipped_bundle() / ENCODER, folder))
    for name in names:
        write_bundle(folder / "bundles" / name, name, encoder)
    started = time.monotonic()
    with running(croft(str(folder / "bundles")), folder / "log") as server:
        start = time.monotonic() - started
        seconds = ask(server, names, requests)
        queue = total(scrape(server.port), "croft_queue_limit_images")
        reload = _reload(server)
        return Row(
            bundles=count,
            start_s=start,
            reload_s=reload,
            memory_mib=pss_mib(server.pid),
            encoders=queue / Settings().queue_images,
            p50_ms=1e3 * statistics.median(seconds),
            p99_ms=1e3 * statistics.quantiles(seconds, n=100)[-1],
        )


def write_bundle(target: Path, name: str, encoder: Path) -> None:
    """Write the shipped bundle under another name; the encoder is linked, the rest copied."""
    shutil.copytree(shipped_bundle(), target, ignore=shutil.ignore_patterns(ENCODER))
    os.link(encoder, target / ENCODER)
    manifest = json.loads((target / MANIFEST).read_text())
    (target / MANIFEST).write_text(json.dumps(manifest | {"name": name}))


def ask(server: Running, names: Sequence[str], requests: int) -> list[float]:
    """Return the seconds of each request but the first ones, over one connection."""
    image = next((shipped_bundle() / "golden").iterdir()).read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    seconds = []
    for index in range(_WARM_UP + requests):
        name = names[index % len(names)]
        began = time.perf_counter()
        connection.request("POST", f"/classify?bundle={name}", body=image)
        answer = json.loads(connection.getresponse().read())
        seconds.append(time.perf_counter() - began)
        assert answer["bundle"].startswith(f"{name}@"), answer
    connection.close()
    return seconds[_WARM_UP:]


def _reload(server: Running) -> float:
    """Return the seconds of a reload that finds nothing new."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    began = time.perf_counter()
    connection.request("POST", "/bundles/reload")
    assert json.loads(connection.getresponse().read())["added"] == []
    connection.close()
    return time.perf_counter() - began


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the medians of the repeats as Markdown, a line for each number of bundles."""
    lines = [
        "| bundles | encoders in memory | memory | p50, one client | p99 | start | idle reload |",
        "|---|---|---|---|---|---|---|",
    ]
    for bundles in sorted({row["bundles"] for row in rows}):
        of = [row for row in rows if row["bundles"] == bundles]
        median = {name: statistics.median(row[name] for row in of) for name in of[0]}
        lines.append(
            "| {bundles} | {encoders:.0f} | {memory_mib:.0f} MiB | {p50_ms:.2f} ms "
            "| {p99_ms:.1f} ms | {start_s:.1f} s | {reload_s:.2f} s |".format_map(median)
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
