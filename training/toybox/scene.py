"""One picture before it is painted: an object in a pose, its colours, its background.

Axes: P points, 2 = (x, y).
"""

from dataclasses import dataclass

import numpy as np

from training.toybox import extra, known, palette, unknown
from training.toybox.palette import Colour
from training.toybox.shapes import Parts, Role, bounds, transform

DRAW = {**known.DRAW, **unknown.DRAW, **extra.DRAW}
"""How to draw every object, by name."""

SWALLOWED = 0.3
"""RGB distance below which a dark or light part is lost on its background."""
SKY = np.array([0.66, 0.84, 0.93], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An object placed in the unit square, with the colours to paint it in."""

    name: str
    """The object's name."""
    parts: Parts
    """The object's parts, back to front, in picture coordinates [0, 1]."""
    colours: dict[Role, Colour]
    """RGB in [0, 1] for each role."""
    colour_name: str
    """Name of the object's main colour."""
    background: Colour
    """RGB in [0, 1] behind the object."""
    background_name: str
    """Name of the background's colour."""


def compose(name: str, rng: np.random.Generator) -> Scene:
    """Return a random scene of one object."""
    colour_name, main = palette.pick(rng)
    background_name, background = palette.pick(rng, unlike=main)
    _, accent = palette.pick(rng, unlike=main)
    colours: dict[Role, Colour] = {
        "main": main,
        "accent": accent,
        "dark": _seen(main * np.float32(0.25) + np.float32(0.05), background, other=0.4),
        "light": _seen(main * np.float32(0.18) + np.float32(0.78), background, other=0.62),
        "glass": SKY * np.float32(rng.uniform(0.8, 1.0)),
    }
    return Scene(
        name=name,
        parts=place(DRAW[name](rng), rng),
        colours=colours,
        colour_name=colour_name,
        background=background,
        background_name=background_name,
    )


def _seen(tone: Colour, background: Colour, *, other: float) -> Colour:
    """Return the tone, moved to another level of grey where the background would swallow it."""
    if float(np.linalg.norm(tone - background)) >= SWALLOWED:
        return tone
    moved: Colour = tone - tone.mean() + np.float32(other)
    return moved


def place(parts: Parts, rng: np.random.Generator) -> Parts:
    """Return the parts flipped, bent, turned, and fitted at a random place in the unit square."""
    turn, shear = np.radians(rng.normal(0, 11)), rng.normal(0, 0.07)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    stretch = float(np.exp(rng.normal(0, 0.07)))
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    posed = transform(
        parts, rotate @ np.array([[flip * stretch, shear], [0.0, 1 / stretch]]), np.zeros(2)
    )
    low, high = bounds(posed)
    scale = rng.uniform(0.60, 0.88) / float((high - low).max())
    room = 1 - (high - low) * scale
    corner = room * rng.uniform(0.12, 0.88, 2)
    return transform(posed, np.eye(2) * scale, corner - low * scale)
