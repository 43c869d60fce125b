"""Thick lines as polygons, and noise fields."""

import numpy as np
import pytest

from training.toybox.raster import blur, noise, stroke
from training.toybox.shapes import Points, arc_points


def area(points_P2: Points) -> float:
    """Return a polygon's area by the shoelace formula."""
    x, y = points_P2.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def test_a_straight_line_has_its_length_times_width_and_round_ends() -> None:
    """The outline of a thick line covers a rectangle and two half discs."""
    outline = stroke(np.array([(0.0, 0.0), (10.0, 0.0)]), 2.0, closed=False)
    assert area(outline) == pytest.approx(20 + np.pi, rel=0.02)


def test_a_ring_leaves_its_middle_open() -> None:
    """The outline of a closed line covers the area between two circles."""
    outline = stroke(arc_points((0, 0), (10, 10))[:-1], 2.0, closed=True)
    assert area(outline) == pytest.approx(np.pi * (11**2 - 9**2), rel=0.03)


def test_sharp_corners_do_not_shoot_out() -> None:
    """At a hairpin the outline stays within a few widths of the line."""
    hairpin = np.array([(0.0, 0.0), (10.0, 0.1), (0.0, 0.2)])
    assert np.abs(stroke(hairpin, 1.0, closed=True)).max() < 12


def test_noise_is_as_coarse_as_asked() -> None:
    """Fewer cells make neighbouring pixels more alike."""
    rng = np.random.default_rng(0)
    coarse, fine = (np.abs(np.diff(noise(rng, 64, cells))).mean() for cells in (3, 30))
    assert coarse < fine / 3


def test_blur_keeps_the_mean_and_softens_the_edge() -> None:
    """A blurred half-plane keeps its share and has values in between."""
    field = np.zeros((64, 64), np.float32)
    field[:, 32:] = 1
    soft = blur(field, 4)
    assert soft.mean() == pytest.approx(0.5, abs=0.01)
    assert 0.3 < soft[32, 31] < 0.7
