"""The cartoon style: flat bright colours, bold outlines, one hard shadow."""

import numpy as np
from PIL import ImageDraw

from training.toybox.palette import Colour
from training.toybox.raster import (
    OVERSAMPLE,
    Field,
    byte_colour,
    canvas,
    flat,
    grid,
    outline,
    pixels,
    stroke,
)
from training.toybox.scene import Scene


def vivid(colour: Colour) -> Colour:
    """Return the colour with more saturation."""
    grey = colour.mean()
    stronger: Colour = np.clip(grey + (colour - grey) * np.float32(1.25), 0, 1)
    return stronger


def paint_cartoon(scene: Scene, rng: np.random.Generator, size: int) -> Field:
    """Return the scene as a cartoon, (S, S, 3)."""
    side = size * OVERSAMPLE
    ink = byte_colour(scene.background * np.float32(0.05) + np.float32(rng.uniform(0, 0.08)))
    bold = side * rng.uniform(0.009, 0.017)
    image, pen = canvas("RGB", size)
    shape, shape_pen = canvas("L", size)
    _draw(pen, shape_pen, scene, ink=ink, bold=bold)
    drawn, mask = pixels(image), pixels(shape)
    shift = int(size * rng.uniform(0.03, 0.07)) * (1 if rng.random() < 0.5 else -1)
    shaded = mask * (1 - np.roll(mask, (-abs(shift), shift), (0, 1)))
    drawn = drawn * (1 - np.float32(rng.uniform(0, 0.3)) * shaded[..., None])
    return drawn + _backdrop(scene, rng, size) * (1 - mask[..., None])


def _draw(
    pen: ImageDraw.ImageDraw,
    shape_pen: ImageDraw.ImageDraw,
    scene: Scene,
    *,
    ink: tuple[int, ...],
    bold: float,
) -> None:
    """Fill every part and draw its outline; mark the same area in the silhouette."""
    side = pen.im.size[0]
    for part in scene.parts:
        colour = byte_colour(vivid(scene.colours[part.role]))
        inner = flat(outline(part) * side)
        if part.width:
            outer = flat(outline(part, grow=bold / side) * side)
            pen.polygon(outer, fill=ink)
            pen.polygon(inner, fill=colour)
        else:
            outer = flat(stroke(part.points_P2 * side, bold * 2, closed=True))
            pen.polygon(inner, fill=colour)
            pen.polygon(outer, fill=ink)
            shape_pen.polygon(inner, fill=255)
        shape_pen.polygon(outer, fill=255)


def _backdrop(scene: Scene, rng: np.random.Generator, size: int) -> Field:
    """Return a flat background, plain or with stripes, dots, rays or a floor, (S, S, 3)."""
    x, y = grid(size)
    kind, turn = int(rng.integers(5)), rng.uniform(0, np.pi)
    along = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
    across = y * np.float32(np.cos(turn)) - x * np.float32(np.sin(turn))
    pitch = np.float32(rng.uniform(22, 55))
    if kind == 0:
        pattern = np.sin(along * pitch)
    elif kind == 1:
        pattern = np.sin(along * pitch) * np.sin(across * pitch) - np.float32(0.35)
    elif kind == 2:
        pattern = np.sin(np.arctan2(y - rng.uniform(0.3, 0.7), x - 0.5) * int(rng.integers(6, 14)))
    elif kind == 3:
        pattern = (y - np.float32(rng.uniform(0.5, 0.8))) * 20
    else:
        pattern = np.full_like(x, -1)
    weight = np.clip(pattern * 4 + np.float32(0.5), 0, 1)[..., None]
    base = vivid(scene.background)
    lift = np.float32(rng.uniform(0.1, 0.25)) * (1 if base.mean() < 0.55 else -1)
    return np.broadcast_to(base, (size, size, 3)) + weight * lift
