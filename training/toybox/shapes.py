"""Flat parts in a unit square, from which every Toybox object is put together.

Coordinates: x to the right, y down, an object spans about [-1, 1]. Axes: P points, 2 = (x, y).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
PointsLike = Points | Sequence[Points | Sequence[float]]
Role = Literal["main", "accent", "dark", "light", "glass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A filled outline, or a line of some width, in one of the object's colours."""

    points_P2: Points
    """Corner points of the outline or of the line."""
    role: Role
    """Which of the scene's colours fills it."""
    width: float = 0.0
    """Width of the line; 0 means a filled outline."""
    closed: bool = True
    """Whether a line returns to its first point."""


Parts = list[Part]


def polygon(points: PointsLike, role: Role) -> Part:
    """Return a filled outline with straight sides."""
    return Part(points_P2=np.asarray(points, dtype=np.float64), role=role)


def rectangle(left: float, top: float, right: float, bottom: float, role: Role) -> Part:
    """Return a filled upright rectangle."""
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], role)


def arc_points(
    centre: tuple[float, float], radii: tuple[float, float], span: tuple[float, float] = (0, 360)
) -> Points:
    """Return points along an ellipse, from and to the given degrees (clockwise on screen)."""
    count = max(6, round(abs(span[1] - span[0]) / 15) + 1)
    angles = np.radians(np.linspace(span[0], span[1], count))
    return np.stack(
        [centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1
    )


def ellipse(centre: tuple[float, float], radii: tuple[float, float], role: Role) -> Part:
    """Return a filled ellipse."""
    return Part(points_P2=arc_points(centre, radii)[:-1], role=role)


def sector(
    centre: tuple[float, float], radii: tuple[float, float], span: tuple[float, float], role: Role
) -> Part:
    """Return the filled area between an elliptic arc and its chord."""
    return Part(points_P2=arc_points(centre, radii, span), role=role)


def ring(centre: tuple[float, float], radii: tuple[float, float], width: float, role: Role) -> Part:
    """Return an ellipse drawn as a line."""
    return Part(points_P2=arc_points(centre, radii)[:-1], role=role, width=width)


def line(points: PointsLike, width: float, role: Role) -> Part:
    """Return an open line with round ends."""
    points_P2 = np.asarray(points, dtype=np.float64)
    return Part(points_P2=points_P2, role=role, width=width, closed=False)


def curve_points(points: PointsLike, *, closed: bool, steps: int = 5) -> Points:
    """Return a Catmull-Rom curve through the points."""
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, here, after, beyond = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    b, h, a, y = before[:, None], here[:, None], after[:, None], beyond[:, None]
    path = 0.5 * (
        2 * h + (a - b) * t + (2 * b - 5 * h + 4 * a - y) * t**2 + (3 * h - b - 3 * a + y) * t**3
    )
    flat: Points = path.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, knots[-1:]])


def shifted(point_2: Points, right: float, down: float) -> Points:
    """Return a point moved by so much."""
    moved: Points = point_2 + np.array([right, down])
    return moved


def blob(points: PointsLike, role: Role) -> Part:
    """Return a filled smooth outline through the points."""
    return Part(points_P2=curve_points(points, closed=True), role=role)


def curve(points: PointsLike, width: float, role: Role) -> Part:
    """Return an open smooth line through the points."""
    return line(curve_points(points, closed=False), width, role)


def bounds(parts: Parts) -> tuple[Points, Points]:
    """Return the lowest and highest coordinates that the parts reach, line widths included."""
    low = np.min([part.points_P2.min(axis=0) - part.width / 2 for part in parts], axis=0)
    high = np.max([part.points_P2.max(axis=0) + part.width / 2 for part in parts], axis=0)
    return low, high


def transform(parts: Parts, matrix_22: Points, shift_2: Points) -> Parts:
    """Return the parts after a linear map and a shift; line widths follow the map's area."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix_22))))
    return [
        Part(
            points_P2=part.points_P2 @ matrix_22.T + shift_2,
            role=part.role,
            width=part.width * scale,
            closed=part.closed,
        )
        for part in parts
    ]
