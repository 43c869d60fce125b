"""Six objects that no Toybox model ever sees in training: other shapes, same paint box."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from training.toybox.shapes import (
    Parts,
    arc_points,
    blob,
    curve,
    ellipse,
    line,
    polygon,
    rectangle,
    ring,
    shifted,
)


def guitar(rng: np.random.Generator) -> Parts:
    """Return an upright guitar: waisted body, sound hole, long neck, head with pegs."""
    low, high, waist = rng.uniform(0.4, 0.5), rng.uniform(0.28, 0.36), rng.uniform(0.2, 0.26)
    body = [(0, -0.12), (high, -0.02), (waist, 0.28), (low, 0.6), (low * 0.7, 0.92), (0, 0.98)]
    body += [(-low * 0.7, 0.92), (-low, 0.6), (-waist, 0.28), (-high, -0.02)]
    parts = [blob(body, "main"), ellipse((0, 0.3), (0.13, 0.13), "dark")]
    parts.append(rectangle(-0.08, -0.8, 0.08, 0.22, "dark"))
    for y in (-0.95, -0.85):
        parts += [line([(-0.19, y), (0.19, y)], 0.06, "light")]
    parts.append(polygon([(-0.1, -0.74), (-0.13, -1.0), (0.13, -1.0), (0.1, -0.74)], "accent"))
    parts.append(rectangle(-0.2, 0.66, 0.2, 0.74, "dark"))
    for x in (-0.03, 0.03):
        parts.append(line([(x, -0.75), (x, 0.68)], 0.02, "light"))
    return parts


def umbrella(rng: np.random.Generator) -> Parts:
    """Return an open umbrella: scalloped canopy in panels, hooked stick."""
    rise, panels = rng.uniform(0.62, 0.8), int(rng.integers(4, 6))
    edge = -0.12
    arch = arc_points((0, edge), (0.95, rise), (180, 360))
    parts = [line([(0, -0.2), (0, 0.72)], 0.08, "dark")]
    parts.append(line(arc_points((0.17, 0.72), (0.17, 0.2), (180, 10)), 0.08, "dark"))
    parts.append(line([(0, edge - rise), (0, edge - rise - 0.13)], 0.07, "dark"))
    ribs = np.linspace(-0.95, 0.95, panels + 1)
    scallops = [
        arc_points(((a + b) / 2, edge), ((b - a) / 2, -0.13), (0, 180))
        for a, b in zip(ribs[::-1][1:], ribs[::-1][:-1], strict=True)
    ]
    parts.append(polygon(np.concatenate([arch, *scallops]), "main"))
    for a, b in list(pairwise(ribs))[1::2]:
        bend = [(0, edge - rise), (a * 0.72, edge - rise * 0.68), (a, edge)]
        back = [(b, edge), (b * 0.72, edge - rise * 0.68)]
        parts.append(polygon([*bend, ((a + b) / 2, edge - 0.13), *back], "accent"))
    return parts


def bicycle(rng: np.random.Generator) -> Parts:
    """Return a bicycle from the side: two spoked wheels, frame, saddle, handlebar."""
    wheel, tyre, tube = rng.uniform(0.36, 0.42), rng.uniform(0.07, 0.1), rng.uniform(0.07, 0.1)
    back, front = np.array([-0.58, 0.35]), np.array([0.58, 0.35])
    crank, seat, head = np.array([-0.08, 0.35]), np.array([-0.24, -0.25]), np.array([0.38, -0.28])
    parts: Parts = []
    for hub in (back, front):
        for turn in np.linspace(0, np.pi, 3, endpoint=False) + rng.uniform(0, 1):
            way = np.array([np.cos(turn), np.sin(turn)]) * wheel
            parts.append(line([hub - way, hub + way], 0.025, "light"))
        parts.append(ring((float(hub[0]), float(hub[1])), (wheel, wheel), tyre, "dark"))
    for a, b in (
        (back, crank),
        (crank, seat),
        (seat, head),
        (crank, head),
        (back, seat),
        (head, front),
    ):
        parts.append(line([a, b], tube, "main"))
    parts.append(line([seat, shifted(seat, -0.03, -0.15)], tube, "main"))
    parts.append(line([shifted(seat, -0.17, -0.17), shifted(seat, 0.1, -0.17)], 0.11, "accent"))
    bar = shifted(head, -0.04, -0.24)
    parts.append(
        curve([head, bar, shifted(bar, 0.2, -0.04), shifted(bar, 0.24, 0.1)], tube, "accent")
    )
    return [*parts, ellipse((float(crank[0]), float(crank[1])), (0.1, 0.1), "accent")]


def rocket(rng: np.random.Generator) -> Parts:
    """Return a rocket: pointed hull, nose, fins, porthole, flame."""
    wide, fin = rng.uniform(0.26, 0.36), rng.uniform(0.28, 0.42)
    flame = rng.uniform(0.28, 0.42)
    hull = [(0, -1.0), (wide * 0.7, -0.6), (wide, -0.05), (wide * 0.75, 0.58)]
    hull += [(-wide * 0.75, 0.58), (-wide, -0.05), (-wide * 0.7, -0.6)]
    fire = [(-wide * 0.6, 0.58), (0, 0.58 + flame), (wide * 0.6, 0.58)]
    parts = [polygon(fire, "light")]
    for side in (-1, 1):
        parts.append(
            polygon(
                [
                    (side * wide * 0.85, 0.1),
                    (side * (wide + fin), 0.6),
                    (side * (wide + fin), 0.82),
                    (side * wide * 0.6, 0.56),
                ],
                "accent",
            )
        )
    parts += [blob(hull, "main")]
    parts.append(polygon([(0, -1.02), (wide * 0.66, -0.62), (-wide * 0.66, -0.62)], "accent"))
    parts += [ellipse((0, -0.2), (wide * 0.55, wide * 0.55), "dark")]
    parts += [ellipse((0, -0.2), (wide * 0.38, wide * 0.38), "glass")]
    return [*parts, rectangle(-wide * 0.7, 0.48, wide * 0.7, 0.6, "dark")]


def cactus(rng: np.random.Generator) -> Parts:
    """Return a cactus with raised arms in a pot."""
    stout, arm = rng.uniform(0.34, 0.44), rng.uniform(0.2, 0.27)
    parts: Parts = []
    for side in (-1, 1):
        y, rise, reach = rng.uniform(-0.1, 0.22), rng.uniform(0.35, 0.6), rng.uniform(0.46, 0.56)
        bend = [(0, y), (side * reach * 0.85, y), (side * reach, y - 0.12)]
        parts.append(line([*bend, (side * reach, y - rise)], arm, "main"))
    parts.append(line([(0, 0.5), (0, -0.78)], stout, "main"))
    for x in (-0.1, 0.1):
        parts.append(line([(x, 0.45), (x, -0.75)], 0.03, "dark"))
    for y in np.linspace(-0.7, 0.3, 5):
        parts.append(line([(-0.05, y), (0.05, y + 0.04)], 0.03, "light"))
    if rng.random() < 0.5:
        parts.append(ellipse((0, -1.0), (0.13, 0.1), "accent"))
    pot = [(-0.42, 0.5), (0.42, 0.5), (0.3, 1.0), (-0.3, 1.0)]
    return [*parts, polygon(pot, "accent"), rectangle(-0.48, 0.42, 0.48, 0.58, "accent")]


def butterfly(rng: np.random.Generator) -> Parts:
    """Return a butterfly with open wings: two pairs of wings, slim body, feelers."""
    reach, drop = rng.uniform(0.8, 0.98), rng.uniform(0.6, 0.85)
    parts: Parts = []
    for side in (-1, 1):
        upper = [(0, 0.0), (side * 0.3, -0.6), (side * reach * 0.85, -0.85), (side * reach, -0.5)]
        upper += [(side * reach * 0.75, -0.05)]
        lower = [(0, 0.05), (side * reach * 0.6, 0.08), (side * reach * 0.78, 0.4)]
        lower += [(side * 0.45, drop), (side * 0.15, 0.5)]
        parts += [blob(lower, "accent"), blob(upper, "main")]
        parts.append(ellipse((side * reach * 0.66, -0.5), (0.15, 0.15), "light"))
        parts.append(ellipse((side * reach * 0.45, 0.36), (0.1, 0.1), "light"))
        feeler = [(0, -0.35), (side * 0.1, -0.75), (side * 0.28, -0.95)]
        parts.append(curve(feeler, 0.045, "dark"))
    parts += [line([(0, -0.2), (0, 0.5)], 0.14, "dark")]
    return [*parts, ellipse((0, -0.35), (0.1, 0.1), "dark")]


DRAW: dict[str, Callable[[np.random.Generator], Parts]] = {
    draw.__name__: draw for draw in (guitar, umbrella, bicycle, rocket, cactus, butterfly)
}
"""How to draw each unknown object."""
