"""Ten times more images than the service can encode, for a minute, and what became of them.

    python -m benchmarks.overload [--seconds 60] [--quick]

The encoder is ViT-B-32 with random weights. Its peak is measured first, with clients that wait
for their answers; then the queue is set to hold one second of work and images come at ten times
the peak, on time whether answers came or not. Prints a verdict on each promise and writes
benchmarks/results/overload.json; exits 1 if one is broken.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks.load.accounts import Accounts, read_accounts
from benchmarks.load.machine import Meter, rss_mib
from benchmarks.load.random_bundle import VIT_B_32, random_bundle
from benchmarks.load.requests import draw_images
from benchmarks.load.servers import ROOT, Running, croft, running
from models.bundle import Bundle
from training.progress import say

FACTOR: Final = 10
CONNECTIONS: Final = 800
IMAGES: Final = 60
BATCH: Final = 1
"""CROFT_MAX_BATCH: a CPU encodes image by image, and the first of a batch waits for the last."""
_PROBES: Final = {"Content-Type": "image/jpeg"}
_AFTER_SECONDS: Final = 8.0
_RSS_EVERY_SECONDS: Final = 1.0


@dataclass(slots=True)
class Watch:
    """Looks at the service from beside: its memory, and after the rush its latency."""

    target: Running
    image: bytes
    rss_mib: list[float] = field(default_factory=list)
    probes: list[tuple[float, float, int]] = field(default_factory=list)
    """Start, on the monotonic clock, seconds, and status of each."""

    def look(self, seconds: float) -> None:
        """Note memory for so long, then send one image after another."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.rss_mib.append(rss_mib(self.target.pid))
            time.sleep(_RSS_EVERY_SECONDS)
        connection = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=60)
        while time.monotonic() < end + _AFTER_SECONDS:
            started = time.monotonic()
            connection.request("POST", "/classify", self.image, _PROBES)
            response = connection.getresponse()
            response.read()
            self.probes.append((started, time.monotonic() - started, response.status))
            time.sleep(0.05)
        connection.close()


def main() -> int:
    """Measure, print and write; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="15 seconds")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/overload.json")
    args = parser.parse_args()
    images = draw_images(args.cache / "serving-images", count=IMAGES)
    bundle = random_bundle(VIT_B_32, args.cache, images)
    found = measure(bundle, images, seconds=15.0 if args.quick else args.seconds, cache=args.cache)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    say(table(found))
    return 0 if all(met for *_, met in promises(found)) else 1


def measure(bundle: Bundle, images: Sequence[bytes], *, seconds: float, cache: Path) -> Any:
    """Return everything that was found, as JSON."""
    log = cache / "logs" / "overload.log"
    with running(croft(str(bundle.path), max_batch=BATCH), log) as target:
        calm, peak = _peak(target, images)
    limit = max(1, round(peak["per_second"]))
    say(f"peak {peak['per_second']:.1f} images/s; the queue holds {limit}")
    with running(croft(str(bundle.path), max_batch=BATCH, queue_images=limit), log) as target:
        _load(target, images, connections=4, seconds=3.0)
        rush = _rush(target, images, rate=FACTOR * peak["per_second"], seconds=seconds)
    return {"calm": calm, "peak": peak, "queue_images": limit, **rush}


def _peak(target: Running, images: Sequence[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    _load(target, images, connections=4, seconds=3.0)
    calm = _load(target, images, connections=1, seconds=6.0)
    meter = Meter(target.pid)
    peak = _load(target, images, connections=32, seconds=20.0)
    return calm, peak | {"others_cores": meter.read()[1]}


def _rush(
    target: Running, images: Sequence[bytes], *, rate: float, seconds: float
) -> dict[str, Any]:
    watch = Watch(target, images[0])
    before, meter = read_accounts(target.port), Meter(target.pid)
    thread = threading.Thread(target=watch.look, args=(seconds,))
    thread.start()
    found = _load(target, images, connections=CONNECTIONS, seconds=seconds, rate=rate)
    cpu, others = meter.read()
    thread.join()
    accounts = read_accounts(target.port).since(before)
    return {
        "rate": rate,
        "rush": found | {"others_cores": others, "server_cpu_seconds": cpu},
        "rss_mib": watch.rss_mib,
        "probes": [(start - found["ended"], took, status) for start, took, status in watch.probes],
        "accounts": {"received": accounts.received, "outcomes": accounts.outcomes},
        "client": _client_counts(found, watch),
    }


def _client_counts(found: dict[str, Any], watch: Watch) -> dict[str, int]:
    """Return what the senders saw: all that was sent, answered, and refused."""
    probes = [status for *_, status in watch.probes]
    return {
        "sent": found["sent"] + len(probes),
        "answered": found["statuses"].get("200", 0) + probes.count(200),
        "refused": found["statuses"].get("503", 0) + probes.count(503),
        "broken": found["broken"],
    }


def promises(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return each promise, what was found, and whether it was kept."""
    rush, peak = found["rush"], found["peak"]["per_second"]
    goodput = rush["per_second"] / peak
    wait_ms = 2e3 * found["queue_images"] / peak
    half = len(found["rss_mib"]) // 2
    early, late = mean(found["rss_mib"][half // 2 : half]), mean(found["rss_mib"][half:])
    after = recovery(found)
    refused, told = rush["statuses"].get("503", 0), rush["refused_with_retry_after"]
    return [
        ("goodput >= 0.9 of the peak", f"{goodput:.2f}", goodput >= 0.9),
        (
            f"p99 of what was accepted <= 2 x queue / capacity = {wait_ms:.0f} ms",
            f"{rush['p99_ms']:.0f} ms",
            rush["p99_ms"] <= wait_ms,
        ),
        (
            "memory flat: second half at most 5 % over the quarter before",
            f"{early:.0f} -> {late:.0f} MiB",
            late <= 1.05 * early,
        ),
        ("normal latency within 2 s after", f"{after:.1f} s", after <= 2.0),
        ("each 503 has Retry-After", f"{told} of {refused}", told == refused > 0),
        ("accounts balance, and agree with the senders", _balance(found), balanced(found)),
    ]


def recovery(found: dict[str, Any]) -> float:
    """Return seconds from the last image of the rush until no probe was slow or refused.

    Slow is more than 1.5 times the p99 that one client saw before.
    """
    normal = 1.5e-3 * found["calm"]["p99_ms"]
    slow = [at + took for at, took, status in found["probes"] if status != 200 or took > normal]
    return max(0.0, max(slow, default=0.0))


def balanced(found: dict[str, Any]) -> bool:
    """Return whether service and senders counted the same."""
    accounts = Accounts(**found["accounts"])
    answered = accounts.outcomes.get("accepted", 0) + accounts.outcomes.get("rejected", 0)
    return bool(
        accounts.received == accounts.settled == found["client"]["sent"]
        and answered == found["client"]["answered"]
        and accounts.outcomes.get("shed", 0) == found["client"]["refused"]
        and found["client"]["broken"] == 0
    )


def _balance(found: dict[str, Any]) -> str:
    accounts = Accounts(**found["accounts"])
    client = ", ".join(f"{n:,} {what}" for what, n in found["client"].items())
    return f"received {accounts.received:,}, with an outcome {accounts.settled:,}; {client}"


def table(found: dict[str, Any]) -> str:
    """Return what was done and the promises as Markdown."""
    rush, peak = found["rush"], found["peak"]
    lines = [
        f"Peak {peak['per_second']:.1f} images/s (others kept {peak['others_cores']:.2f} cores "
        f"busy); then {found['rate']:.0f}/s for {rush['seconds']:.0f} s "
        f"({rush['others_cores']:.2f} cores), queue of {found['queue_images']} images; "
        f"{rush['skipped']:,} not sent for want of a free connection of {CONNECTIONS}; "
        f"p99 of a refusal {rush['refused_p99_ms']:.0f} ms.",
        "",
        "| promise | found | |",
        "|---|---|---|",
    ]
    lines += [f"| {asked} | {got} | {'kept' if ok else 'BROKEN'} |" for asked, got, ok in
              promises(found)]  # fmt: skip
    return "\n".join(lines)


def _load(
    target: Running, images: Sequence[bytes], *, connections: int, seconds: float, rate: float = 0
) -> dict[str, Any]:
    labels = [""] * len(images)
    return target.load(images, labels, connections=connections, seconds=seconds, rate=rate)


if __name__ == "__main__":
    sys.exit(main())
