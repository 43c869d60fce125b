"""The one paint box: named colours that every object, known or not, is drawn from."""

import colorsys

import numpy as np
import numpy.typing as npt

Colour = npt.NDArray[np.float32]

HSV: dict[str, tuple[float, float, float]] = {
    "red": (0.995, 0.80, 0.80),
    "orange": (0.075, 0.82, 0.93),
    "yellow": (0.14, 0.75, 0.94),
    "green": (0.33, 0.58, 0.60),
    "teal": (0.49, 0.60, 0.62),
    "blue": (0.60, 0.70, 0.78),
    "purple": (0.76, 0.52, 0.62),
    "pink": (0.93, 0.38, 0.94),
    "brown": (0.07, 0.58, 0.45),
    "grey": (0.60, 0.05, 0.55),
    "white": (0.12, 0.06, 0.95),
    "black": (0.65, 0.15, 0.17),
}
"""Hue, saturation and value in [0, 1] at the heart of each named colour."""

NAMES = tuple(HSV)
DISTINCT = 0.45
"""Least RGB distance (of at most sqrt 3) between an object's colour and its background."""


def sample(name: str, rng: np.random.Generator) -> Colour:
    """Return an RGB colour in [0, 1], shape (3,), near the named one."""
    hue, saturation, value = HSV[name] + rng.normal(0, (0.012, 0.06, 0.05))
    clipped = np.clip([saturation, value], 0, 1)
    rgb = colorsys.hsv_to_rgb(float(hue) % 1, float(clipped[0]), float(clipped[1]))
    return np.array(rgb, dtype=np.float32)


def pick(rng: np.random.Generator, *, unlike: Colour | None = None) -> tuple[str, Colour]:
    """Return a random colour's name and value; with ``unlike``, one that stands out from it."""
    for _ in range(50):
        name = NAMES[int(rng.integers(len(NAMES)))]
        colour = sample(name, rng)
        if unlike is None or float(np.linalg.norm(colour - unlike)) >= DISTINCT:
            return name, colour
    raise AssertionError("every colour of the palette has one that stands out from it")
