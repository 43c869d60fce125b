"""Rows -> means with intervals: which sets count, and how far a mean can be trusted.

Axes: S seeds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from training.comparison.judge import Row
from training.comparison.shift import SHIFTED
from training.metrics import student_half

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and half the width of its interval at 95 %."""

    mean: float
    half: float


def distinct(rows: Iterable[Row], key: str) -> list[str]:
    """Return the values of a column, in the order in which they come."""
    return list(dict.fromkeys(row[key] for row in rows if key in row))


def headline(rows: Sequence[Row]) -> list[str]:
    """Return the known sets that a summary is about: the shifted ones, or all if none is."""
    known = distinct(rows, "known")
    return [name for name in known if name.endswith(SHIFTED)] or known


def brings_score(row: Row) -> bool:
    """Return whether the row's method is judged under a score of its own alone."""
    return "selected" in row


def seeds_of(rows: Iterable[Row]) -> int:
    """Return the number of seeds."""
    return len({row["seed"] for row in rows})


def accuracies(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each trial, seed, method and known set, whatever scores there are."""
    keys = ("trial", "seed", "method", "known")
    return list({tuple(row[key] for key in keys): row for row in rows}.values())


def estimate(rows: Sequence[Row], figure: str) -> Estimate:
    """Return the mean over trials, sets and seeds of ``accuracy`` or ``auroc``, with its interval.

    Half the interval is the root of the sum of two squares (MOVER: Zou & Donner, Statistics in
    Medicine 2008). The first is Student's half-width of the seeds' own means, what another draw
    of training images would change; one seed cannot tell it and leaves it out. The second is
    1.96 standard errors over the test images. Sets and seeds share images, so that their errors
    do not average out: the mean of their errors stands for the error of their mean, the most it
    can be.
    """
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(row[figure])
    means_S = np.array([np.mean(values) for values in by_seed.values()])
    normal = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    images = normal * float(np.mean([row[f"{figure}_se"] for row in rows]))
    return Estimate(
        float(means_S.mean()), math.hypot(student_half(means_S, confidence=CONFIDENCE), images)
    )


def intervals_are(seeds: int) -> str:
    """Say in a sentence or two what an interval holds."""
    if seeds == 1:
        return (
            "±: 95 % interval over the test images of one seed. What another draw of training "
            "images would change is not in it: --seeds 3 shows that."
        )
    return (
        f"±: 95 % interval: Student's over {seeds} seeds, joined with the test images' own error. "
        "Methods share images and draws, so that differences are surer than they seem."
    )
