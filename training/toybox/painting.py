"""The painted style: visible brush strokes along a flow, on woven canvas."""

import numpy as np
from PIL import Image, ImageDraw

from training.toybox.photo import lit
from training.toybox.raster import OVERSAMPLE, Field, blur, grid, noise, pixels, slopes
from training.toybox.scene import Scene
from training.toybox.shapes import Points

COARSE, FINE = 190, 380
"""Number of broad strokes anywhere, then of thin strokes on and around the object."""


def paint_painting(scene: Scene, rng: np.random.Generator, size: int) -> Field:
    """Return the scene as an oil painting, (S, S, 3)."""
    base, mask = lit(scene, rng, size)
    base = 0.5 + (base - 0.5) * np.float32(rng.uniform(1.0, 1.25))
    image = Image.fromarray((np.clip(base, 0, 1) * 255).astype(np.uint8))
    image = image.resize((size * OVERSAMPLE, size * OVERSAMPLE), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    flow_yx = _flow(mask, rng)
    anywhere = rng.random((COARSE, 2))
    _strokes(pen, base, flow_yx, rng, anywhere, reach=(0.05, 0.12), width=0.045)
    near = np.argwhere(blur(mask, size * 0.02) > 0.02)
    chosen = (near[rng.integers(len(near), size=FINE)] + rng.random((FINE, 2))) / size
    _strokes(pen, base, flow_yx, rng, chosen, reach=(0.015, 0.04), width=0.015)
    painted = pixels(image)
    picture: Field = painted * _canvas(painted, rng)[..., None]
    return picture


def _flow(mask: Field, rng: np.random.Generator) -> Field:
    """Return the brush direction in radians, (S, S): along the outline, else a slow swirl."""
    slope_x, slope_y = slopes(blur(mask, len(mask) * 0.04))
    swirl = rng.uniform(0, np.pi) + 0.6 * noise(rng, len(mask), 3)
    strong = np.hypot(slope_x, slope_y) > 0.01
    return np.where(strong, np.arctan2(slope_x, -slope_y), swirl).astype(np.float32)


def _strokes(
    pen: ImageDraw.ImageDraw,
    base: Field,
    flow_yx: Field,
    rng: np.random.Generator,
    places_yx: Points,
    *,
    reach: tuple[float, float],
    width: float,
) -> None:
    """Draw one stroke at each place, coloured like the picture there with a little variation."""
    size, count = len(base), len(places_yx)
    rows, columns = np.clip((places_yx * size).astype(int), 0, size - 1).T
    side = size * OVERSAMPLE
    half = rng.uniform(*reach, count) * side / 2
    angle = flow_yx[rows, columns] + rng.normal(0, 0.15, count)
    dx, dy = np.cos(angle) * half, np.sin(angle) * half
    x, y = (places_yx[:, 1] * side, places_yx[:, 0] * side)
    ends = np.stack([x - dx, y - dy, x + dx, y + dy], axis=1).tolist()
    tones = base[rows, columns] * rng.normal(1, 0.09, (count, 1)) + rng.normal(0, 0.025, (count, 3))
    colours = [tuple(tone) for tone in np.clip(tones * 255, 0, 255).astype(int).tolist()]
    widths = np.maximum(1, width * side * rng.uniform(0.5, 1.2, count)).astype(int).tolist()
    for end, colour, thick in zip(ends, colours, widths, strict=True):
        pen.line(end, fill=colour, width=thick)


def _canvas(painted: Field, rng: np.random.Generator) -> Field:
    """Return the weave of the canvas and the relief of the paint as a factor, (S, S)."""
    size = len(painted)
    x, y = grid(size)
    pitch = np.float32(size * rng.uniform(1.3, 1.9))
    weave = np.sin(x * pitch) * np.sin(y * pitch) * np.float32(rng.uniform(0.02, 0.06))
    slope_x, slope_y = slopes(painted.mean(axis=2))
    relief: Field = np.clip((slope_x + slope_y) * np.float32(0.8), -0.15, 0.15) + weave
    return relief + 1
