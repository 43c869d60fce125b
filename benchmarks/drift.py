"""A stream of 50,000 Toybox images under the shipped rules: what fires, when, and when it clears.

    python -m benchmarks.drift [--picture docs/images/drift.svg] [--json FILE]

Known objects in the styles that the shipped bundle was calibrated on; then known objects in other
styles; then every fifth image an unknown object; then as at first. Each image is drawn, written as
JPEG and decided as the service does it, and counted by the service's own metrics, at 1,000 images
an hour. What Prometheus would have scraped is backfilled with its timestamps, the recording rules
after it, and the alerts are evaluated every minute. Needs Debian's package prometheus.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.backfill import Firing, backfilled, firings, write_openmetrics
from benchmarks.drift_figure import draw
from croft.demo import CALIBRATED, SHIFTED
from models.bundle import Bundle
from models.decision import Decision, decide
from models.encoder import OnnxEncoder
from service.counting import Tally
from service.loading import shipped_bundle
from service.metrics import Metrics
from training.progress import bar, say
from training.toybox.images import KNOWN, QUALITY, UNKNOWN, render

PER_HOUR: Final = 1000
SEED: Final = 2026
"""No seed of the shipped bundle's images or of the demo's."""
SETTLE_MINUTES: Final = 60
"""Until the hour that the rules look at holds nothing of a phase any more."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the stream."""

    name: str
    hours: int
    styles: Sequence[str] = CALIBRATED
    unknown: float = 0.0
    alerts: bool = False
    """Whether somebody should be told."""


PHASES: Final = (
    Phase("known", 27),
    Phase("other styles", 5, styles=SHIFTED, alerts=True),
    Phase("20 % unknown", 6, unknown=0.2, alerts=True),
    Phase("known again", 12),
)


def plan(phases: Sequence[Phase]) -> Iterator[tuple[str, str, int]]:
    """Yield the object, style and number of every image, in order."""
    rng = np.random.default_rng(SEED)
    number = 0
    for phase in phases:
        for _ in range(phase.hours * PER_HOUR):
            names = UNKNOWN if rng.random() < phase.unknown else KNOWN
            yield str(rng.choice(names)), str(rng.choice(phase.styles)), number
            number += 1


def decisions(jobs: Sequence[tuple[str, str, int]], bundle: Path) -> list[Decision]:
    """Draw and decide every image, on all cores."""
    with Pool(initializer=_open, initargs=(bundle,)) as pool, bar("deciding", "image") as progress:
        found = []
        for decision in pool.imap(_decide, jobs, chunksize=50):
            found.append(decision)
            progress(len(found), len(jobs))
    return found


_opened: tuple[Bundle, OnnxEncoder]


def _open(path: Path) -> None:
    global _opened
    bundle = Bundle.load(path)
    _opened = bundle, OnnxEncoder(bundle.encoder_path)


def _decide(job: tuple[str, str, int]) -> Decision:
    bundle, encoder = _opened
    name, style, number = job
    file = io.BytesIO()
    Image.fromarray(render(name, style, seed=SEED, index=number)).save(
        file, "JPEG", quality=QUALITY
    )
    pixels = bundle.manifest.preprocess.build().pixels(file.getvalue(), max_pixels=10**6)
    return decide(bundle, encoder.embed(pixels[None])[0])


def scrapes(
    found: Sequence[Decision], bundle: Bundle, *, start: float
) -> Iterator[tuple[float, Metrics]]:
    """Yield the service's metrics once a minute, as the images come in one after the other."""
    metrics = Metrics()
    counted = metrics.add_bundle(bundle)
    metrics.ready.set(1)
    step = 3600 / PER_HOUR
    minutes = np.arange(0, len(found) * step + 1, 60)
    yield start, metrics
    for before, until in pairwise(minutes):
        first, last = (int(np.ceil(t / step)) for t in (before, until))
        for decision in found[first:last]:
            with Tally(metrics) as tally:
                tally.bundle = counted.key
                tally.note(counted.answered(decision))
        yield start + until, metrics


def unexpected(fired: Sequence[Firing], phases: Sequence[Phase]) -> list[Firing]:
    """Return what fired outside the phases that somebody should be told of."""
    minutes = np.repeat([phase.alerts for phase in phases], [60 * p.hours for p in phases])
    settled = np.convolve(minutes, np.ones(SETTLE_MINUTES + 1))[: len(minutes)] > 0
    return [
        firing
        for firing in fired
        if not settled[int(firing.begins // 60) : int(firing.ends // 60)].all()
    ]


def report(fired: Sequence[Firing], phases: Sequence[Phase]) -> str:
    """Return when each alert fired, counted from the begin of the phase."""
    lines = []
    for firing in fired:
        phase, begins = _phase_at(firing.begins, phases)
        minutes = (firing.begins - begins) / 60
        lasted = (firing.ends - firing.begins) / 3600
        lines.append(
            f"{firing.alert} {firing.of}: {minutes:.0f} minutes into {phase.name!r} "
            f"({minutes * PER_HOUR / 60:,.0f} images), for {lasted:.1f} hours"
        )
    return "\n".join(lines)


def _phase_at(seconds: float, phases: Sequence[Phase]) -> tuple[Phase, float]:
    begins = 0.0
    for phase in phases[:-1]:
        if seconds < begins + phase.hours * 3600:
            return phase, begins
        begins += phase.hours * 3600
    return phases[-1], begins


def main() -> int:
    """Run the study; 1 if an alert fired where it should not, or none where it should."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, default=Path("docs/images/drift.svg"))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/drift.json"))
    args = parser.parse_args()
    path = shipped_bundle()
    found = decisions(list(plan(PHASES)), path)
    with tempfile.TemporaryDirectory() as folder:
        start = float(int(time.time()) - len(found) * 3600 // PER_HOUR - 600)
        samples = Path(folder) / "stream.om"
        write_openmetrics(scrapes(found, Bundle.load(path), start=start), samples)
        end = start + len(found) * 3600 / PER_HOUR
        with backfilled(samples, start=start, end=end, folder=Path(folder)) as prometheus:
            fired = firings(prometheus)
            args.picture.parent.mkdir(parents=True, exist_ok=True)
            args.picture.write_text(draw(prometheus, fired, PHASES))
    strangers = unexpected(fired, PHASES)
    args.json.write_text(json.dumps(_figures(found, fired), indent=1) + "\n")
    say(report(fired, PHASES), "", *(f"UNEXPECTED: {firing}" for firing in strangers))
    return 1 if strangers or not fired else 0


def _figures(found: Sequence[Decision], fired: Sequence[Firing]) -> dict[str, Any]:
    ends = np.cumsum([phase.hours * PER_HOUR for phase in PHASES])
    parts = np.split(np.array([d.rejected for d in found]), ends[:-1])
    return {
        "rejected": {p.name: float(part.mean()) for p, part in zip(PHASES, parts, strict=True)},
        "alerts": [asdict(firing) for firing in fired],
    }


if __name__ == "__main__":
    raise SystemExit(main())
