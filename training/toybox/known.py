"""The twelve everyday objects that a Toybox model is taught to know."""

from collections.abc import Callable

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
    sector,
)


def mug(rng: np.random.Generator) -> Parts:
    """Return a mug: tapered cup, open rim, one handle."""
    width, height, taper = rng.uniform(0.5, 0.68), rng.uniform(0.55, 0.85), rng.uniform(0.75, 1.0)
    grip = rng.uniform(0.26, 0.36)
    cup = [(-width, -height), (width, -height), (width * taper, height * 0.9)]
    cup += [(width * taper * 0.6, height), (-width * taper * 0.6, height)]
    cup += [(-width * taper, height * 0.9)]
    handle = arc_points((width * 0.92, -0.02), (grip * 1.1, height * 0.55), (-95, 95))
    parts = [line(handle, rng.uniform(0.13, 0.19), "main"), polygon(cup, "main")]
    if rng.random() < 0.5:
        middle, half = rng.uniform(-0.1, 0.3), rng.uniform(0.06, 0.16)
        edge = width * (1 + taper) / 2
        parts.append(rectangle(-edge * 0.98, middle - half, edge * 0.98, middle + half, "accent"))
    rim = rng.uniform(0.1, 0.17)
    parts += [ellipse((0, -height), (width, rim), "light")]
    return [*parts, ellipse((0, -height + 0.02), (width * 0.85, rim * 0.7), "dark")]


def teapot(rng: np.random.Generator) -> Parts:
    """Return a teapot: round body, spout, lid with a knob, handle."""
    width, height = rng.uniform(0.55, 0.68), rng.uniform(0.42, 0.56)
    reach, tip = rng.uniform(0.98, 1.12), rng.uniform(-0.5, -0.3)
    spout = [(-width * 0.75, 0.35), (-width - 0.12, 0.12), (-reach, tip + 0.08)]
    spout += [(-reach - 0.04, tip - 0.06), (-reach + 0.16, tip - 0.04)]
    spout += [(-width * 0.98, -0.12), (-width * 0.7, -0.2)]
    handle = arc_points((width * 0.85, 0), (0.38, height * 0.68), (-100, 100))
    knob = rng.uniform(0.09, 0.14)
    return [
        line(handle, rng.uniform(0.1, 0.15), "accent"),
        blob(spout, "main"),
        ellipse((0, -height * 0.95 - knob * 1.5), (knob, knob), "accent"),
        rectangle(-width * 0.45, height * 0.8, width * 0.45, height * 1.12, "dark"),
        ellipse((0, 0), (width, height), "main"),
        sector((0, -height * 0.68), (width * 0.55, height * 0.5), (180, 360), "accent"),
        line([(-width * 0.58, -height * 0.68), (width * 0.58, -height * 0.68)], 0.06, "dark"),
    ]


def chair(rng: np.random.Generator) -> Parts:
    """Return a chair seen from the front at an angle: back, seat, four legs."""
    wide, skew, leg = rng.uniform(0.42, 0.55), rng.uniform(0.08, 0.22), rng.uniform(0.09, 0.14)
    back, deep = rng.uniform(-1.0, -0.85), rng.uniform(0.22, 0.32)
    left, right = -wide + skew, wide + skew
    parts = [
        line([(left, 0.0), (left, 0.75)], leg, "dark"),
        line([(right, 0.0), (right, 0.75)], leg, "dark"),
        line([(left, 0.0), (left, back)], leg, "main"),
        line([(right, 0.0), (right, back)], leg, "main"),
    ]
    if rng.random() < 0.5:
        for x in np.linspace(left, right, int(rng.integers(4, 6)))[1:-1]:
            parts.append(line([(x, 0.0), (x, back + 0.1)], leg * 0.6, "main"))
        parts.append(rectangle(left, back - 0.02, right, back + 0.2, "main"))
    else:
        parts.append(rectangle(left, back, right, back + rng.uniform(0.4, 0.62), "accent"))
    front = wide * 1.12
    seat = [(left - 0.03, -0.02), (right + 0.03, -0.02), (front, deep), (-front, deep)]
    return [
        *parts,
        line([(-front + 0.07, deep), (-front + 0.07, 1.0)], leg, "main"),
        line([(front - 0.07, deep), (front - 0.07, 1.0)], leg, "main"),
        polygon(seat, "accent"),
        rectangle(-front, deep - 0.01, front, deep + 0.1, "main"),
    ]


def lamp(rng: np.random.Generator) -> Parts:
    """Return a table lamp: shade, stem, round foot."""
    top, low = rng.uniform(0.24, 0.42), rng.uniform(0.55, 0.75)
    base, belly = rng.uniform(0.3, 0.45), rng.uniform(0.1, 0.28)
    shade_low = rng.uniform(-0.2, 0.0)
    body = [(-0.07, shade_low), (0.07, shade_low), (0.09, 0.25), (belly, 0.55), (0.1, 0.85)]
    body += [(-0.1, 0.85), (-belly, 0.55), (-0.09, 0.25)]
    shade = [(-top, -0.95), (top, -0.95), (low, shade_low), (-low, shade_low)]
    chain = rng.uniform(0.2, 0.4)
    return [
        line([(low * 0.5, shade_low), (low * 0.5, shade_low + chain)], 0.03, "dark"),
        ellipse((low * 0.5, shade_low + chain), (0.05, 0.05), "dark"),
        blob(body, "accent"),
        ellipse((0, 0.9), (base, 0.11), "accent"),
        polygon(shade, "main"),
        polygon(
            [
                (-low, shade_low),
                (low, shade_low),
                (low * 0.95, shade_low - 0.11),
                (-low * 0.95, shade_low - 0.11),
            ],
            "light",
        ),
        ellipse((0, -0.95), (top, 0.07), "light"),
    ]


def key(rng: np.random.Generator) -> Parts:
    """Return a key: ring, shaft, teeth."""
    bow, stout = rng.uniform(0.27, 0.36), rng.uniform(0.12, 0.17)
    shaft = rng.uniform(0.12, 0.17)
    teeth = int(rng.integers(2, 4))
    parts = [line([(-0.95 + 2 * bow, 0), (0.98, 0)], shaft, "main")]
    for x in np.linspace(0.94, 0.94 - 0.22 * (teeth - 1), teeth):
        depth = rng.uniform(0.22, 0.42)
        parts.append(rectangle(x - 0.07, 0, x + 0.07, depth, "main"))
    parts.append(rectangle(-0.97 + 2 * bow, -0.14, -0.85 + 2 * bow, 0.14, "accent"))
    squash = rng.uniform(0.85, 1.1)
    return [*parts, ring((-0.95 + bow, 0), (bow, bow * squash), stout, "main")]


def scissors(rng: np.random.Generator) -> Parts:
    """Return open scissors: two crossing blades, two finger rings."""
    opening = np.radians(rng.uniform(14, 30))
    loop, wide = rng.uniform(0.2, 0.27), rng.uniform(0.1, 0.15)
    parts: Parts = []
    for side in (-1.0, 1.0):
        sin, cos = np.sin(opening) * side, np.cos(opening)
        across, along = np.array([cos, sin]) * wide, np.array([sin, -cos])
        tip, pivot = along * 1.05, np.array([0.0, 0.1])
        blade = [pivot - across, pivot + tip, pivot + across, pivot - along * 0.25]
        grip = pivot - along * 0.35 - np.array([side * 0.1, 0.0])
        centre = (float(grip[0] - side * loop * 0.35), float(grip[1] + loop * 0.95))
        parts.append(polygon(blade, "light" if side < 0 else "glass"))
        parts.append(line([pivot, grip], wide * 1.1, "main"))
        parts.append(ring(centre, (loop, loop * 1.2), rng.uniform(0.1, 0.14), "main"))
    return [*parts, ellipse((0, 0.1), (0.07, 0.07), "dark")]


def clock(rng: np.random.Generator) -> Parts:
    """Return a round clock: rim, face, hour marks, two hands; sometimes alarm bells and feet."""
    parts: Parts = []
    if rng.random() < 0.5:
        for side in (-1, 1):
            parts.append(line([(side * 0.45, 0.6), (side * 0.62, 0.98)], 0.12, "dark"))
            parts.append(ellipse((side * 0.5, -0.68), (0.26, 0.2), "accent"))
    parts += [ellipse((0, 0), (0.85, 0.85), "main")]
    parts += [ellipse((0, 0), (rng.uniform(0.66, 0.74),) * 2, "light")]
    marks = 12 if rng.random() < 0.6 else 4
    for turn in np.linspace(0, 2 * np.pi, marks, endpoint=False):
        way = np.array([np.sin(turn), np.cos(turn)])
        parts.append(line([way * 0.54, way * 0.62], 0.06, "dark"))
    for length, width in ((0.34, 0.1), (0.5, 0.07)):
        turn = rng.uniform(0, 2 * np.pi)
        parts.append(line([(0, 0), (length * np.sin(turn), -length * np.cos(turn))], width, "dark"))
    return [*parts, ellipse((0, 0), (0.07, 0.07), "accent")]


def boat(rng: np.random.Generator) -> Parts:
    """Return a sailing boat: hull, mast, one or two sails, pennant."""
    deck, depth = rng.uniform(0.3, 0.42), rng.uniform(0.28, 0.4)
    mast = rng.uniform(-0.15, 0.1)
    hull = [(-0.9, deck), (0.98, deck), (0.62, deck + depth), (-0.62, deck + depth)]
    boom = deck - rng.uniform(0.08, 0.16)
    parts = [line([(mast, deck), (mast, -0.98)], 0.07, "dark")]
    parts.append(polygon([(mast + 0.06, -0.85), (mast + 0.06, boom), (0.85, boom)], "light"))
    if rng.random() < 0.75:
        parts.append(polygon([(mast - 0.06, -0.6), (mast - 0.06, boom), (-0.75, boom)], "accent"))
    flag = [(mast, -0.98), (mast - 0.26, -0.9), (mast, -0.82)]
    stripe = [(-0.86, deck), (0.94, deck), (0.88, deck + 0.1), (-0.8, deck + 0.1)]
    return [*parts, polygon(flag, "accent"), polygon(hull, "main"), polygon(stripe, "dark")]


def car(rng: np.random.Generator) -> Parts:
    """Return a car from the side: body, cabin with windows, two wheels, lights."""
    roof, waist = rng.uniform(-0.62, -0.48), rng.uniform(-0.16, -0.08)
    rear, front = rng.uniform(-0.65, -0.45), rng.uniform(0.2, 0.35)
    wheel = rng.uniform(0.2, 0.26)
    cabin = [(rear - 0.2, waist), (rear, roof), (front, roof), (front + 0.32, waist)]
    body = [(-1.0, waist), (0.75, waist), (0.97, waist + 0.12), (1.0, 0.34), (-1.0, 0.34)]
    middle = (rear + front) / 2
    glass_back = [
        (rear - 0.06, waist),
        (rear + 0.06, roof + 0.09),
        (middle - 0.04, roof + 0.09),
        (middle - 0.04, waist),
    ]
    glass_front = [
        (middle + 0.04, waist),
        (middle + 0.04, roof + 0.09),
        (front - 0.04, roof + 0.09),
        (front + 0.18, waist),
    ]
    parts = [polygon(cabin, "main"), polygon(body, "main")]
    parts += [polygon(glass_back, "glass"), polygon(glass_front, "glass")]
    parts += [rectangle(-1.0, 0.2, 1.0, 0.34, "dark"), line([(0.02, 0), (0.14, 0)], 0.05, "dark")]
    parts += [
        ellipse((0.9, 0.06), (0.09, 0.07), "light"),
        ellipse((-0.93, 0.06), (0.06, 0.07), "accent"),
    ]
    for x in (-0.55, 0.57):
        parts += [ellipse((x, 0.34), (wheel, wheel), "dark")]
        parts += [ellipse((x, 0.34), (wheel * 0.5, wheel * 0.5), "light")]
    return parts


def house(rng: np.random.Generator) -> Parts:
    """Return a house: wall, pitched roof, chimney, door, windows."""
    wide, eaves = rng.uniform(0.6, 0.75), rng.uniform(-0.25, -0.05)
    over, side = rng.uniform(0.1, 0.2), 1 if rng.random() < 0.5 else -1
    chimney = side * wide * 0.5
    parts = [rectangle(chimney - 0.1, -0.92, chimney + 0.1, eaves - 0.1, "dark")]
    parts.append(rectangle(-wide, eaves, wide, 0.9, "main"))
    roof = [(-wide - over, eaves), (0, rng.uniform(-0.98, -0.8)), (wide + over, eaves)]
    parts.append(polygon(roof, "accent"))
    door = side * rng.uniform(0.1, 0.25)
    parts.append(rectangle(door - 0.15, 0.3, door + 0.15, 0.9, "dark"))
    for x in (door - side * 0.45,) if wide < 0.66 else (-side * 0.4, side * 0.55):
        top, pane = eaves + 0.22, 0.15
        parts.append(rectangle(x - pane, top, x + pane, top + 2 * pane, "glass"))
        parts.append(line([(x, top), (x, top + 2 * pane)], 0.035, "light"))
        parts.append(line([(x - pane, top + pane), (x + pane, top + pane)], 0.035, "light"))
    return parts


def fish(rng: np.random.Generator) -> Parts:
    """Return a fish from the side: body, forked tail, fins, eye, gill."""
    tall, spread = rng.uniform(0.36, 0.52), rng.uniform(0.34, 0.5)
    tail = [(0.5, 0), (1.0, -spread), (0.86, 0), (1.0, spread)]
    body = [(-0.95, 0.02), (-0.6, -tall * 0.8), (-0.1, -tall), (0.4, -tall * 0.45)]
    body += [(0.66, 0), (0.4, tall * 0.45), (-0.1, tall), (-0.6, tall * 0.8)]
    fin = [(-0.35, -tall * 0.85), (0.05, -tall - rng.uniform(0.18, 0.32)), (0.34, -tall * 0.5)]
    belly = [(-0.15, tall * 0.9), (0.16, tall + rng.uniform(0.12, 0.24)), (0.25, tall * 0.65)]
    parts = [polygon(tail, "accent"), polygon(fin, "accent"), polygon(belly, "accent")]
    parts.append(blob(body, "main"))
    for x in (0.0, 0.2)[: int(rng.integers(0, 3))]:
        parts.append(curve([(x, -tall * 0.7), (x + 0.08, 0), (x, tall * 0.7)], 0.08, "accent"))
    gill = arc_points((-0.5, 0.02), (0.16, tall * 0.5), (-60, 60))
    parts += [line(gill, 0.05, "dark"), ellipse((-0.66, -0.1), (0.1, 0.1), "light")]
    return [*parts, ellipse((-0.68, -0.1), (0.05, 0.05), "dark")]


def tree(rng: np.random.Generator) -> Parts:
    """Return a tree: forked trunk under a crown of several leafy lobes."""
    trunk, wide = rng.uniform(0.1, 0.15), rng.uniform(0.42, 0.58)
    lobes, depth = int(rng.integers(6, 10)), rng.uniform(0.1, 0.2)
    parts = [
        polygon([(-trunk, -0.1), (trunk, -0.1), (trunk * 1.5, 0.98), (-trunk * 1.5, 0.98)], "dark")
    ]
    parts.append(line([(0, 0.42), (wide * 0.6, -0.05)], trunk * 0.8, "dark"))
    parts.append(line([(0, 0.52), (-wide * 0.6, 0.0)], trunk * 0.8, "dark"))
    turns = np.linspace(0, 2 * np.pi, lobes * 6, endpoint=False)
    radius = 1 - depth + depth * np.abs(np.sin(turns * lobes / 2 + rng.uniform(0, 3)))
    crown = [radius * np.cos(turns) * wide * 1.65, -0.38 + radius * np.sin(turns) * 0.64]
    parts.append(polygon(np.stack(crown, axis=1), "main"))
    for _ in range(int(rng.integers(0, 6))):
        spot = (float(rng.uniform(-wide, wide)), float(rng.uniform(-0.75, -0.1)))
        parts.append(ellipse(spot, (0.07, 0.07), "accent"))
    return parts


DRAW: dict[str, Callable[[np.random.Generator], Parts]] = {
    draw.__name__: draw
    for draw in (mug, teapot, chair, lamp, key, scissors, clock, boat, car, house, fish, tree)
}
"""How to draw each known object."""
