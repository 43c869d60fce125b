"""How often the open-set alerts fire on known images, and how soon on unknown ones.

    python -m benchmarks.false_alarms [--draws 200] [--json FILE]

Scores are simulated: a calibration set of n images is drawn, and from then on its luck is fixed.
Known images follow for a million images, at 240, 1,200 or 12,000 an hour; an alert that fires once
in all that time has failed the draw. Then a day of known images, and after it one in five images
is unknown, at an AUROC of 0.9 (two normal distributions of equal width). Windows, waiting times
and limits are those of deploy/prometheus (benchmarks/monitoring_rules.py).

Axes: E edges of p-values, S steps of five minutes, W windows of an hour, C classes.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.monitoring_rules import (
    Floats,
    distance_limit_W,
    expected_share_E,
    jump_W,
    lower_W,
    upper_W,
)
from training.calibrate import CalibrateConfig, rank_of
from training.comparison.table import markdown_table
from training.progress import bar, say

CALIBRATIONS: Final = (59, 100, 1000)
PER_HOUR: Final = (240, 1200, 12000)
IMAGES: Final = 1_000_000
UNKNOWN: Final = 0.2
AUROC: Final = 0.9
CLASSES: Final = 20
STEPS: Final = 12
"""In an hour."""
HOLD: Final = 4
"""Evaluations in a row that must hold: ``for: 15m``, its first one included."""
DAY: Final = 24 * STEPS
PAST: Final = DAY + STEPS
"""Steps of known images before anything is judged: an hour, and the day before it."""
ALERTS: Final = (
    "CroftRejectionRateHigh",
    "CroftRejectionRateLow",
    "CroftRejectionRateJump",
    "CroftRejectionSpikeInClass",
    "CroftDrift",
)

Counts = NDArray[np.int64]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bundle:
    """One calibration draw. Shares are of known images, exactly, not of a sample."""

    n: int
    mean: float
    """What the bundle says it rejects: r / (n + 1)."""
    rejected: float
    """What it rejects."""
    below_E: Floats
    """Whose p-value is at most each edge."""
    rejected_C: Floats
    """What it rejects of each class: classes differ."""


def draw(n: int, rng: np.random.Generator) -> Bundle:
    """Calibrate on n known images, with the defaults of ``croft train``."""
    rank = rank_of(n, CalibrateConfig())
    # The share of known images that are more unusual than the k-th most unusual of n.
    beyond = np.concatenate([[0.0], np.sort(rng.random(n))])
    at_most_E = np.round(expected_share_E(n) * (n + 1)).astype(int)
    rejected_C = np.minimum(beyond[rank] * rng.dirichlet(np.ones(CLASSES)) * CLASSES, 0.9)
    return Bundle(n, rank / (n + 1), float(beyond[rank]), beyond[at_most_E], rejected_C)


def mixed(share: Floats | float, unknown: float) -> Floats:
    """Return what a share of known images becomes when a part of all images is unknown."""
    known = np.clip(np.asarray(share, dtype=np.float64), 1e-12, 1 - 1e-12)
    shift = np.sqrt(2) * norm.ppf(AUROC)
    caught = norm.cdf(shift + norm.ppf(known)) * (known > 1e-12)
    return np.asarray((1 - unknown) * known + unknown * caught)


def images_of(
    bundle: Bundle, *, steps: int, per_step: int, unknown: float, rng: np.random.Generator
) -> tuple[Counts, Counts]:
    """Return rejected images (S,) and images at or below each edge (S, E) of every step."""
    points = mixed(np.append(bundle.below_E, bundle.rejected), unknown)
    order = np.argsort(points, kind="stable")
    parts = np.diff(points[order], prepend=0, append=1)
    counts = rng.multinomial(per_step, np.maximum(parts, 0) / parts.sum(), size=steps)
    at_most = np.empty((steps, len(points)), dtype=np.int64)
    at_most[:, order] = counts.cumsum(axis=1)[:, :-1]
    return at_most[:, -1], at_most[:, :-1]


def by_class(
    bundle: Bundle, *, steps: int, per_step: int, unknown: float, rng: np.random.Generator
) -> tuple[Counts, Counts]:
    """Return rejected and all images of each step and class, (S, C).

    All unknown images look like the first class.
    """
    known_C = np.full(CLASSES, (1 - unknown) / CLASSES)
    parts = np.stack([known_C * bundle.rejected_C, known_C * (1 - bundle.rejected_C)])
    caught = float(mixed(bundle.rejected, 1.0))
    parts[:, 0] += unknown * np.array([caught, 1 - caught])
    counts = rng.multinomial(per_step, parts.ravel(), size=steps).reshape(steps, 2, CLASSES)
    return counts[:, 0], counts.sum(axis=1)


def first_alarms(
    bundle: Bundle, *, per_step: int, steps: int, unknown: float, rng: np.random.Generator
) -> dict[str, int | None]:
    """Return by alert after how many images it first fired, None for never.

    A day and an hour of known images come first and are not counted.
    """

    def stream(of: Callable[..., tuple[Counts, Counts]]) -> list[Counts]:
        parts = [
            of(bundle, steps=length, per_step=per_step, unknown=share, rng=rng)
            for length, share in ((PAST, 0.0), (steps, unknown))
        ]
        return [np.concatenate(counts) for counts in zip(*parts, strict=True)]

    rejected_S, at_most_SE = stream(images_of)
    rejected_SC, images_SC = stream(by_class)
    images_S = np.full_like(rejected_S, per_step)
    wrong = {
        **_limits(bundle, hours(rejected_S), hours(at_most_SE), hours(images_S)),
        "CroftRejectionRateJump": _jumps(rejected_S, images_S, rise=0.02, least=(100, 500)),
        "CroftRejectionSpikeInClass": _jumps(rejected_SC, images_SC, rise=0.05, least=(50, 100)),
    }
    return {name: _first(wrong[name], per_step) for name in ALERTS}


def hours(counts_S: Counts) -> Floats:
    """Return the sums of the hour that ends with each step, after the past: (W, ...)."""
    return _sums(counts_S, STEPS)[DAY:]


def days(counts_S: Counts) -> Floats:
    """Return the sums of the day before each of these hours: (W, ...)."""
    return _sums(counts_S, DAY)[: len(counts_S) - PAST + 1]


def _sums(counts_S: Counts, length: int) -> Floats:
    total = np.concatenate([np.zeros_like(counts_S[:1]), counts_S.cumsum(axis=0)])
    return np.asarray(total[length:] - total[:-length], dtype=np.float64)


def _limits(
    bundle: Bundle, rejected_W: Floats, at_most_WE: Floats, images_W: Floats
) -> dict[str, NDArray[np.bool_]]:
    mean, n = bundle.mean, bundle.n
    share_W, share_WE = rejected_W / images_W, at_most_WE / images_W[:, None]
    distance_W = np.abs(share_WE - expected_share_E(n)).max(axis=1)
    return {
        "CroftRejectionRateHigh": (share_W > upper_W(mean, n, images_W)) & (images_W >= 100),
        "CroftRejectionRateLow": (share_W < lower_W(mean, n, images_W)) & (images_W * mean >= 20),
        "CroftDrift": (distance_W > distance_limit_W(n, images_W)) & (images_W >= 200),
    }


def _jumps(
    rejected_S: Counts, images_S: Counts, *, rise: float, least: tuple[int, int]
) -> NDArray[np.bool_]:
    images_W, images_before_W = hours(images_S), days(images_S)
    now_W = hours(rejected_S) / np.maximum(images_W, 1)
    before_W = days(rejected_S) / np.maximum(images_before_W, 1)
    return np.asarray(
        (jump_W(now_W, images_W, before_W, images_before_W) > 5)
        & (now_W - before_W > rise)
        & (images_W >= least[0])
        & (images_before_W >= least[1])
    )


def _first(wrong_W: NDArray[np.bool_], per_step: int) -> int | None:
    """Return after how many images the condition has first held for as long as the alert waits."""
    held = np.lib.stride_tricks.sliding_window_view(wrong_W, HOLD, axis=0)
    fired = np.flatnonzero(held.all(axis=-1).reshape(len(held), -1).any(axis=1))
    return int(fired[0] + HOLD - 1) * per_step if len(fired) else None


def study(n: int, per_hour: int, *, draws: int) -> Row:
    """Return in which share of draws each alert fires, and how soon, in images (median)."""
    rng = np.random.default_rng([n, per_hour])
    per_step = per_hour // STEPS
    row: Row = {"n": n, "per_hour": per_hour, "draws": draws}
    for kind, unknown, steps in (("known", 0.0, IMAGES // per_step), ("unknown", UNKNOWN, 2 * DAY)):
        alarms = [
            first_alarms(draw(n, rng), per_step=per_step, steps=steps, unknown=unknown, rng=rng)
            for _ in range(draws)
        ]
        for name in ALERTS:
            fired = [after for alarm in alarms if (after := alarm[name]) is not None]
            row[f"{kind} {name}"] = len(fired) / draws
            row[f"{kind} {name} after"] = int(np.median(fired)) if fired else None
    return row


def table(rows: Sequence[Row]) -> str:
    """Return the table of docs/monitoring.md."""
    heads = [name.removeprefix("Croft") for name in ALERTS]
    names = [f"{row['n']:,} images, {row['per_hour']:,} an hour" for row in rows]
    cells = {
        (name, head): _cell(row, alert)
        for name, row in zip(names, rows, strict=True)
        for head, alert in zip(heads, ALERTS, strict=True)
    }
    return markdown_table("calibrated on", names, heads, cells)


def _cell(row: Row, name: str) -> str:
    found, after = row[f"unknown {name}"], row[f"unknown {name} after"]
    soon = f"{found:.0%} after {after:,}" if found else "never"
    return f"{row[f'known {name}']:.1%}; {soon}"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=200, help="of each (default %(default)s)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    todo = list(product(CALIBRATIONS, PER_HOUR))
    rows = []
    with bar("simulating", "row") as progress:
        for done, (n, per_hour) in enumerate(todo, start=1):
            rows.append(study(n, per_hour, draws=args.draws))
            progress(done, len(todo))
    if args.json:
        args.json.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    say(table(rows))


if __name__ == "__main__":
    main()
