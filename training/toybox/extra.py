"""More objects, seen in pretraining only, so that the encoder has features beyond the known."""

from collections.abc import Callable

import numpy as np

from training.toybox.shapes import (
    Parts,
    Role,
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


def shirt(rng: np.random.Generator) -> Parts:
    """Return a T-shirt with a coloured chest band."""
    sleeve, wide = rng.uniform(0.0, 0.25), rng.uniform(0.42, 0.55)
    half = [(0.22, -0.8), (wide, -0.75), (0.98, -0.45 + sleeve), (0.78, -0.1 + sleeve)]
    half += [(wide, -0.32), (wide, 0.9)]
    outline = half + [(-x, y) for x, y in reversed(half)]
    band = rng.uniform(0.0, 0.3)
    return [
        polygon(outline, "main"),
        rectangle(-wide, band, wide, band + rng.uniform(0.15, 0.35), "accent"),
        sector((0, -0.8), (0.22, 0.2), (0, 180), "dark"),
    ]


def apple(rng: np.random.Generator) -> Parts:
    """Return an apple with stalk and leaf."""
    wide, tall = rng.uniform(0.7, 0.85), rng.uniform(0.65, 0.8)
    half = [(0.0, -0.38), (wide * 0.45, -0.55), (wide, -0.15), (wide * 0.8, tall * 0.6)]
    half += [(wide * 0.35, tall + 0.05), (0.0, tall - 0.03)]
    outline = half + [(-x, y) for x, y in half[-2:0:-1]]
    leaf = [(0.02, -0.6), (0.2, -0.88), (0.5, -0.85), (0.3, -0.6)]
    return [
        blob(outline, "main"),
        curve([(0, -0.35), (0.02, -0.6), (-0.06, -0.95)], 0.09, "dark"),
        blob(leaf, "accent"),
        ellipse((-wide * 0.5, -0.15), (0.1, 0.17), "light"),
    ]


def hat(rng: np.random.Generator) -> Parts:
    """Return a brimmed hat with a band."""
    wide, tall = rng.uniform(0.42, 0.55), rng.uniform(0.6, 0.85)
    top = wide * rng.uniform(0.75, 1.05)
    crown = [(-wide, 0.3), (-top, 0.3 - tall), (0, 0.22 - tall), (top, 0.3 - tall), (wide, 0.3)]
    return [
        ellipse((0, 0.32), (0.98, rng.uniform(0.16, 0.24)), "main"),
        polygon(crown, "main"),
        polygon([(-wide, 0.32), (-wide, 0.1), (wide, 0.1), (wide, 0.32)], "accent"),
    ]


def shoe(rng: np.random.Generator) -> Parts:
    """Return a lace-up shoe from the side."""
    ankle, toe = rng.uniform(-0.55, -0.35), rng.uniform(0.02, 0.14)
    upper = [(-0.9, ankle), (-0.2, ankle), (0.1, toe - 0.1), (0.7, toe + 0.02), (0.98, 0.3)]
    upper += [(0.98, 0.42), (-0.92, 0.42)]
    parts = [polygon(upper, "main"), rectangle(-0.95, 0.4, 1.0, 0.56, "light")]
    parts.append(polygon([(-0.9, ankle), (-0.62, ankle), (-0.7, 0.4), (-0.92, 0.4)], "accent"))
    for step in range(3):
        x, y = -0.18 + 0.13 * step, ankle + 0.12 + 0.14 * step
        parts.append(line([(x - 0.16, y + 0.1), (x + 0.04, y - 0.03)], 0.05, "light"))
    return parts


def bottle(rng: np.random.Generator) -> Parts:
    """Return a bottle with a cap and a label."""
    wide, neck, shoulder = rng.uniform(0.26, 0.4), rng.uniform(0.09, 0.14), rng.uniform(-0.4, -0.1)
    outline = [(-neck, -0.85), (neck, -0.85), (neck, shoulder - 0.2), (wide, shoulder + 0.1)]
    outline += [(wide, 0.98), (-wide, 0.98), (-wide, shoulder + 0.1), (-neck, shoulder - 0.2)]
    return [
        polygon(outline, "main"),
        rectangle(-neck - 0.04, -0.98, neck + 0.04, -0.8, "dark"),
        rectangle(-wide, shoulder + 0.35, wide, shoulder + rng.uniform(0.65, 0.9), "accent"),
    ]


def spoon(rng: np.random.Generator) -> Parts:
    """Return a spoon."""
    bowl, wide = rng.uniform(0.28, 0.36), rng.uniform(0.18, 0.26)
    return [
        line([(0, -0.4), (0, 0.95)], rng.uniform(0.08, 0.13), "main"),
        ellipse((0, -0.62), (wide, bowl), "main"),
        ellipse((0, -0.6), (wide * 0.65, bowl * 0.7), "light"),
    ]


def ladder(rng: np.random.Generator) -> Parts:
    """Return a ladder with four to six rungs."""
    low, high, rail = rng.uniform(0.36, 0.5), rng.uniform(0.24, 0.36), rng.uniform(0.09, 0.14)
    parts: Parts = []
    for step in np.linspace(-0.8, 0.75, int(rng.integers(4, 7))):
        wide = high + (low - high) * (step + 1) / 2
        parts.append(line([(-wide, step), (wide, step)], rail * 0.8, "accent"))
    for side in (-1, 1):
        parts.append(line([(side * high, -1.0), (side * low, 1.0)], rail, "main"))
    return parts


def leaf(rng: np.random.Generator) -> Parts:
    """Return a leaf with veins."""
    wide = rng.uniform(0.4, 0.6)
    outline = [(0, -0.95), (wide * 0.8, -0.4), (wide, 0.1), (0, 0.7), (-wide, 0.1)]
    parts = [line([(0, 0.5), (0.06, 1.0)], 0.08, "dark")]
    parts.append(blob([*outline, (-wide * 0.8, -0.4)], "main"))
    parts.append(line([(0, -0.8), (0, 0.66)], 0.05, "dark"))
    for y in (-0.3, 0.05, 0.4):
        for side in (-1, 1):
            parts.append(line([(0, y), (side * wide * 0.6, y - 0.25)], 0.035, "dark"))
    return parts


def bird(rng: np.random.Generator) -> Parts:
    """Return a perched bird: round body, wing, beak, tail, legs."""
    tall = rng.uniform(0.4, 0.52)
    body = [(-0.55, -0.35), (-0.2, -0.42), (0.3, -0.1), (0.6, 0.3), (0.1, tall), (-0.45, 0.25)]
    wing = [(-0.2, -0.1), (0.25, 0.0), (0.5, 0.3), (0.0, 0.3)]
    parts = [polygon([(0.4, 0.1), (1.0, 0.3), (0.95, 0.52), (0.4, 0.4)], "dark")]
    for x in (-0.05, 0.12):
        parts.append(line([(x, tall - 0.1), (x - 0.05, 0.9)], 0.06, "dark"))
    parts += [polygon([(-0.75, -0.62), (-1.02, -0.48), (-0.7, -0.42)], "accent")]
    parts += [blob(body, "main"), ellipse((-0.52, -0.5), (0.29, 0.27), "main")]
    parts += [blob(wing, "accent"), ellipse((-0.6, -0.56), (0.06, 0.06), "dark")]
    return parts


def table(rng: np.random.Generator) -> Parts:
    """Return a table seen slightly from above."""
    leg, deep, skew = rng.uniform(0.09, 0.14), rng.uniform(0.2, 0.35), rng.uniform(0.1, 0.3)
    top = [(-0.95 + skew, -0.3 - deep), (0.95 - skew, -0.3 - deep), (0.98, -0.3), (-0.98, -0.3)]
    parts = [line([(x, -0.2), (x, 0.6)], leg, "dark") for x in (-0.95 + skew, 0.95 - skew)]
    parts += [line([(x, -0.2), (x, 0.85)], leg, "main") for x in (-0.88, 0.88)]
    return [*parts, polygon(top, "accent"), rectangle(-0.98, -0.3, 0.98, -0.16, "main")]


def glasses(rng: np.random.Generator) -> Parts:
    """Return spectacles from the front."""
    lens, tall, rim = rng.uniform(0.36, 0.42), rng.uniform(0.28, 0.42), rng.uniform(0.08, 0.12)
    parts = [curve([(-0.15, -0.05), (0, -0.14), (0.15, -0.05)], rim, "main")]
    for side in (-1, 1):
        parts.append(ellipse((side * 0.52, 0), (lens, tall), "glass"))
        parts.append(ring((side * 0.52, 0), (lens, tall), rim, "main"))
        parts.append(line([(side * 0.88, -0.08), (side * 1.02, -0.26)], rim, "main"))
    return parts


def hammer(rng: np.random.Generator) -> Parts:
    """Return a claw hammer."""
    head = rng.uniform(0.15, 0.21)
    claw = [(-0.15, -0.7 - head), (-0.6, -0.6), (-0.78, -0.3), (-0.4, -0.5), (-0.15, -0.7 + head)]
    return [
        line([(0, -0.6), (0, 0.92)], rng.uniform(0.14, 0.2), "main"),
        polygon(claw, "dark"),
        rectangle(-0.18, -0.7 - head, 0.4, -0.7 + head, "dark"),
        rectangle(0.38, -0.75 - head, 0.58, -0.65 + head, "light"),
        line([(0, 0.5), (0, 0.92)], 0.24, "accent"),
    ]


def bell(rng: np.random.Generator) -> Parts:
    """Return a bell with a clapper."""
    wide = rng.uniform(0.62, 0.8)
    half = [(0.2, -0.75), (0.42, -0.45), (0.48, 0.1), (wide, 0.55)]
    return [
        ring((0, -0.85), (0.13, 0.13), 0.08, "dark"),
        ellipse((0, 0.66), (0.16, 0.18), "dark"),
        polygon(half + [(-x, y) for x, y in reversed(half)], "main"),
        line([(-wide, 0.55), (wide, 0.55)], 0.16, "accent"),
    ]


def envelope(rng: np.random.Generator) -> Parts:
    """Return a letter envelope with its flap and a seal."""
    tall, flap = rng.uniform(0.5, 0.68), rng.uniform(0.0, 0.2)
    corners = [(-0.95, tall), (-0.25, 0.02), (0.25, 0.02), (0.95, tall)]
    return [
        rectangle(-0.95, -tall, 0.95, tall, "main"),
        line(corners, 0.05, "dark"),
        polygon([(-0.95, -tall), (0.95, -tall), (0, flap)], "light"),
        ellipse((0, flap - 0.1), (0.12, 0.12), "accent"),
    ]


def flower(rng: np.random.Generator) -> Parts:
    """Return a flower: petals round a disc, stem, leaves."""
    petals, reach = int(rng.integers(5, 9)), rng.uniform(0.28, 0.34)
    parts = [curve([(0, -0.4), (0.06, 0.3), (0, 1.0)], 0.09, "dark")]
    parts.append(blob([(0.02, 0.7), (0.25, 0.4), (0.55, 0.35), (0.35, 0.62)], "dark"))
    for turn in np.linspace(0, 2 * np.pi, petals, endpoint=False) + rng.uniform(0, 1):
        centre = (reach * float(np.cos(turn)), -0.45 + reach * float(np.sin(turn)))
        parts.append(ellipse(centre, (0.19, 0.19), "main"))
    return [*parts, ellipse((0, -0.45), (0.19, 0.19), "accent")]


def plane(rng: np.random.Generator) -> Parts:
    """Return an aeroplane from above: hull, swept wings, tail."""
    sweep, stout = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.28)
    parts: Parts = []
    for side in (-1, 1):
        wing = [(0, -0.25), (side * 0.98, -0.15 + sweep), (side * 0.98, 0.05 + sweep), (0, 0.25)]
        parts.append(polygon(wing, "accent"))
        tail = [(0, 0.62), (side * 0.4, 0.82), (side * 0.4, 0.95), (0, 0.88)]
        parts.append(polygon(tail, "dark"))
    parts.append(line([(0, -0.85), (0, 0.85)], stout, "main"))
    return [*parts, ellipse((0, -0.72), (0.07, 0.1), "glass")]


def star(rng: np.random.Generator) -> Parts:
    """Return a five- or six-pointed star."""
    tips, inner = int(rng.integers(5, 7)), rng.uniform(0.38, 0.52)
    turns = np.linspace(0, 2 * np.pi, 2 * tips, endpoint=False)
    radius = np.where(np.arange(2 * tips) % 2 == 0, 1.0, inner)
    outline = np.stack([radius * np.sin(turns), -radius * np.cos(turns)], axis=1)
    return [polygon(outline, "main"), polygon(outline * rng.uniform(0.4, 0.6), "accent")]


def heart(rng: np.random.Generator) -> Parts:
    """Return a heart."""
    wide, cleft = rng.uniform(0.8, 0.95), rng.uniform(-0.5, -0.35)
    half = [(wide * 0.5, -0.8), (wide, -0.4), (wide * 0.7, 0.2)]
    outline = [(0, cleft), *half, (0, 0.9), *[(-x, y) for x, y in reversed(half)]]
    return [blob(outline, "main"), ellipse((-wide * 0.5, -0.45), (0.13, 0.16), "light")]


def arrow(rng: np.random.Generator) -> Parts:
    """Return a block arrow with a coloured tail."""
    head, stout = rng.uniform(0.4, 0.6), rng.uniform(0.15, 0.26)
    tip = [(0.98 - head * 1.3, -head), (1.0, 0), (0.98 - head * 1.3, head)]
    return [
        rectangle(-0.95, -stout, 0.3, stout, "main"),
        polygon(tip, "main"),
        rectangle(-0.95, -stout, -0.6, stout, "accent"),
    ]


def moon(rng: np.random.Generator) -> Parts:
    """Return a crescent moon."""
    depth = rng.uniform(0.3, 0.62)
    outer = arc_points((0, 0), (0.9, 0.9), (70, 290))
    inner = arc_points((0.3, 0), (depth, 0.85), (275, 85))
    return [
        polygon(np.concatenate([outer, inner]), "main"),
        ellipse((-0.6, -0.1), (0.12, 0.12), "accent"),
        ellipse((-0.4, 0.45), (0.09, 0.09), "accent"),
    ]


def gadget(rng: np.random.Generator) -> Parts:
    """Return a made-up thing: three to seven random pieces, never the same twice."""
    roles: tuple[Role, ...] = ("main", "accent", "dark", "light", "glass")
    parts: Parts = []
    for piece in range(int(rng.integers(3, 8))):
        role = roles[0] if piece == 0 else roles[int(rng.integers(5))]
        x, y = (float(v) for v in rng.uniform(-0.55, 0.55, 2))
        wide, tall = (float(v) for v in rng.uniform(0.12, 0.5, 2))
        kind = int(rng.integers(5))
        if kind == 0:
            parts.append(rectangle(x - wide, y - tall, x + wide, y + tall, role))
        elif kind == 1:
            parts.append(ellipse((x, y), (wide, tall), role))
        elif kind == 2:
            parts.append(ring((x, y), (wide, wide), rng.uniform(0.07, 0.16), role))
        elif kind == 3:
            parts.append(blob(rng.uniform(-0.9, 0.9, (6, 2)), role))
        else:
            parts.append(curve(rng.uniform(-1, 1, (3, 2)), rng.uniform(0.06, 0.25), role))
    return parts


DRAW: dict[str, Callable[[np.random.Generator], Parts]] = {
    draw.__name__: draw
    for draw in (
        shirt,
        apple,
        hat,
        shoe,
        bottle,
        spoon,
        ladder,
        leaf,
        bird,
        table,
        glasses,
        hammer,
        bell,
        envelope,
        flower,
        plane,
        star,
        heart,
        arrow,
        moon,
        gadget,
    )
}
"""How to draw each extra object."""
