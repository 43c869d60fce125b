"""The statistics of deploy/prometheus in numpy; a test holds the two together.

Axes: W windows of an hour, E edges of p-values.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EDGES: Final = np.array(
    [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
)
"""The upper limits of the buckets of p-values, but for the last, 1."""

_CALIBRATION_SD: Final = 2.33
"""The 99 % point of the normal distribution."""


def _band_edge(mean: float, n: int, sd: float) -> float:
    """Return a quantile of ``Beta(r, n + 1 - r)`` of that mean, by Wilson and Hilferty (1931)."""
    k = mean * (n + 2) / (1 - mean)
    return float(mean * max(0.0, 1 - 1 / (9 * k) + sd / (3 * np.sqrt(k))) ** 3)


def upper_W(mean: float, n: int, images_W: Floats) -> Floats:
    """Return the largest rejected share of W hours that known images explain."""
    root = np.sqrt(_band_edge(mean, n, _CALIBRATION_SD))
    return np.asarray(np.minimum((root + 2 / np.sqrt(images_W)) ** 2, 1))


def lower_W(mean: float, n: int, images_W: Floats) -> Floats:
    """Return the smallest."""
    root = np.sqrt(_band_edge(mean, n, -_CALIBRATION_SD))
    return np.asarray(np.maximum(root - 2.5 / np.sqrt(images_W), 0) ** 2)


def expected_share_E(n: int) -> Floats:
    """Return the share of known images whose p-value is at most each edge, shape (E,)."""
    return np.floor(EDGES * (n + 1) + 1e-9) / (n + 1)


def distance_limit_W(n: int, images_W: Floats) -> Floats:
    """Return the largest distance from that which known images explain."""
    return np.asarray(1.63 / np.sqrt(n) + 2.2 / np.sqrt(images_W))


def jump_W(now_W: Floats, images_W: Floats, before_W: Floats, images_before_W: Floats) -> Floats:
    """Return by how many standard deviations a share has risen."""
    images = images_W * images_before_W / np.maximum(images_W + images_before_W, 1)
    return np.asarray(2 * (np.sqrt(now_W) - np.sqrt(before_W)) * np.sqrt(images))
