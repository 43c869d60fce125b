"""Parts, curves and their bounds."""

import numpy as np

from training.toybox.shapes import (
    arc_points,
    bounds,
    curve_points,
    line,
    polygon,
    rectangle,
    transform,
)


def test_arc_starts_and_ends_where_it_should() -> None:
    """An arc's first and last points lie at the given angles of the ellipse."""
    points_P2 = arc_points((1.0, 2.0), (3.0, 4.0), (0, 90))
    np.testing.assert_allclose(points_P2[[0, -1]], [[4.0, 2.0], [1.0, 6.0]], atol=1e-12)


def test_curves_pass_through_their_points() -> None:
    """A smooth curve contains every point it was made from."""
    knots = np.array([(0.0, 0.0), (1.0, 2.0), (3.0, 1.0), (4.0, 4.0)])
    for closed in (True, False):
        path = curve_points(knots, closed=closed)
        nearest = np.abs(path[None] - knots[:, None]).sum(axis=2).min(axis=1)
        np.testing.assert_allclose(nearest, 0, atol=1e-12)


def test_bounds_count_the_width_of_lines() -> None:
    """A line reaches half its width further than its points."""
    low, high = bounds([line([(0, 0), (1, 0)], 0.5, "main"), rectangle(0, 0, 1, 2, "dark")])
    np.testing.assert_allclose([low, high], [[-0.25, -0.25], [1.25, 2.0]])


def test_transform_scales_lines_with_the_shape() -> None:
    """Doubling a shape doubles its line widths and keeps its other properties."""
    before = [line([(0, 0), (1, 0)], 0.5, "main"), polygon([(0, 0), (1, 0), (0, 1)], "dark")]
    after = transform(before, np.eye(2) * 2, np.array([1.0, 0.0]))
    assert after[0].width == 1.0
    assert (after[0].closed, after[1].role) == (False, "dark")
    np.testing.assert_allclose(after[1].points_P2, [[1, 0], [3, 0], [1, 2]])
