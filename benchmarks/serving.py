"""Croft beside naive FastAPI, LitServe, BentoML and a floor: one model, one decoder, one machine.

    python -m benchmarks.serving [--repeats 3] [--seconds 5] [--quick] [--model small]

Installs the peers into .cache/peers the first time. Every server answers the label of the same
bundle, with a vision transformer of either size or the shipped Toybox's encoder, for the same JPEG
files, to 1, 8 and 32 clients that each wait for their answer. The bare loop, decoding and encoding
without HTTP, runs before and after each measurement: ratios are to the mean of both. Prints the
tables of docs/serving-benchmarks.md; exits 1 if a target is missed.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.load.machine import Meter, pss_mib
from benchmarks.load.random_bundle import WIDTHS, vit_bundle
from benchmarks.load.requests import draw_images
from benchmarks.load.servers import ROOT, Running, Server, croft, run_json, running
from benchmarks.peers.install import floor, peers
from benchmarks.serving_table import PROCESSES, loop_line, table, targets, verdicts
from models.bundle import Bundle
from models.decision import decide
from models.embed import usable_cores
from models.encoder import OnnxEncoder
from service.loading import shipped_bundle
from training.progress import say

CLIENTS: Final = (1, 8, 32)
IMAGES: Final = 60
_WARM_UP_SECONDS: Final = 1.5
_LOOP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything is measured."""

    repeats: int
    seconds: float
    cache: Path
    model: str


@dataclass(frozen=True, slots=True)
class Row:
    """One server under one load, once."""

    server: str
    clients: int
    repeat: int
    per_second: float
    loop_per_second: float
    p50_ms: float
    p99_ms: float
    loop_single_ms: float
    cpu_ms: float
    """Of the server's processes, per answered request."""
    loop_cpu_ms: float
    """Of the bare loop, per image."""
    errors: int
    wrong: int
    pss_mib: float
    client_cpu_ms: float
    """Of the load generator, per request."""
    others_cores: float
    """What other processes of the machine kept busy."""
    loop_others_cores: float
    """The same, while the bare loop ran."""
    cores: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Images, and the label that each must get."""

    images: list[bytes]
    labels: list[str]
    folder: Path
    bundle: Path


def main() -> int:
    """Measure, print and write; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one repeat of 2 seconds")
    parser.add_argument("--model", choices=(*WIDTHS, "toybox"), default="tiny")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--out", type=Path, help="default benchmarks/results/serving-MODEL.json")
    args = parser.parse_args()
    out = args.out or ROOT / f"benchmarks/results/serving-{args.model}.json"
    repeats, seconds = (1, 2.0) if args.quick else (args.repeats, args.seconds)
    plan = Plan(repeats, seconds, args.cache, args.model)
    rows = [asdict(row) for row in measure(plan)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")
    say(table(rows), "", loop_line(rows), "", verdicts(rows))
    return 0 if all(met for *_, met in targets(rows)) else 1


def measure(plan: Plan) -> Iterator[Row]:
    """Measure every server in turn, as often as planned."""
    traffic = _traffic(plan)
    bundle = str(traffic.bundle)
    cores = str(usable_cores())
    servers = [
        croft(bundle),
        replace(croft(bundle, "--processes", cores), name=PROCESSES),
        floor(traffic.bundle),
        *peers(plan.cache, traffic.bundle),
    ]
    for repeat in range(1, plan.repeats + 1):
        for server in servers:
            yield from _measure_server(server, repeat, traffic, plan)


def _measure_server(server: Server, repeat: int, traffic: Traffic, plan: Plan) -> Iterator[Row]:
    log = plan.cache / "logs" / f"{server.name}.log"
    with running(server, log) as target:
        _load(target, traffic, clients=8, seconds=_WARM_UP_SECONDS)
        before = _bare(traffic)
        for clients in CLIENTS:
            found = _measured(target, traffic, clients, plan.seconds)
            after = _bare(traffic)
            loop: dict[str, Any] = {f"loop_{k}": (before[k] + after[k]) / 2 for k in before}
            names = {"server": server.name, "clients": clients, "repeat": repeat}
            yield _told(Row(**names, **found, **loop, cores=usable_cores()))
            before = after


def _told(row: Row) -> Row:
    say(
        f"repeat {row.repeat}  {row.server:23} {row.clients:3} clients  {row.per_second:6.1f}/s  "
        f"loop {row.loop_per_second:6.1f}/s  CPU {row.cpu_ms:5.2f} ms, loop "
        f"{row.loop_cpu_ms:5.2f}  p50 {row.p50_ms:6.1f}  others {row.others_cores:4.2f}"
    )
    return row


def _measured(target: Running, traffic: Traffic, clients: int, seconds: float) -> dict[str, Any]:
    meter = Meter(target.pid)
    result = _load(target, traffic, clients=clients, seconds=seconds)
    cpu, others = meter.read()
    answered = result["statuses"].get("200", 0)
    return {
        **{name: result[name] for name in ("per_second", "p50_ms", "p99_ms", "wrong")},
        "errors": result["sent"] - answered,
        "cpu_ms": 1e3 * cpu / max(1, answered),
        "client_cpu_ms": 1e3 * result["cpu_seconds"] / max(1, answered),
        "others_cores": others,
        "pss_mib": pss_mib(target.pid),
    }


def _load(target: Running, traffic: Traffic, *, clients: int, seconds: float) -> dict[str, Any]:
    return target.load(traffic.images, traffic.labels, connections=clients, seconds=seconds)


def _bare(traffic: Traffic) -> dict[str, float]:
    """Run the bare loop once; the names are the fields of ``Row`` after ``loop_``."""
    seconds, meter = ("--seconds", str(_LOOP_SECONDS)), Meter()
    where = (str(traffic.bundle), str(traffic.folder))
    result: dict[str, float] = run_json("benchmarks.load.bare", *where, *seconds)
    return result | {"others_cores": meter.read()[1]}


def _traffic(plan: Plan) -> Traffic:
    folder = plan.cache / "serving-images"
    images = draw_images(folder, count=IMAGES)
    if plan.model == "toybox":
        bundle = Bundle.load(shipped_bundle())
    else:
        bundle = vit_bundle(plan.model, plan.cache, images)
    encoder, preprocess = OnnxEncoder(bundle.encoder_path), bundle.manifest.preprocess.build()
    labels = [
        decide(bundle, encoder.embed(preprocess.pixels(data)[None])[0]).candidates[0].label
        for data in images
    ]
    return Traffic(images, labels, folder, bundle.path)


if __name__ == "__main__":
    sys.exit(main())
