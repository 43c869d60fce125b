"""From a scene's parts to pixels: filled shapes, outlines and smooth random fields.

Axes: P points, 2 = (x, y), S pixels of a side.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from training.toybox.scene import Scene
from training.toybox.shapes import Part, Points

Field = npt.NDArray[np.float32]

OVERSAMPLE = 2
"""Shapes are drawn at this multiple of the final size, for smooth edges."""
MITER = 0.45
"""Lower limit of the cosine at a corner, so that sharp corners do not shoot out."""


def normals(points_P2: Points, *, closed: bool) -> Points:
    """Return the offset directions of a line, lengthened at corners to keep its width."""
    if closed:
        step = np.roll(points_P2, -1, axis=0) - points_P2
        before = np.roll(step, 1, axis=0)
    else:
        step = np.diff(points_P2, axis=0)
        step, before = np.concatenate([step, step[-1:]]), np.concatenate([step[:1], step])
    step = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
    before = before / np.maximum(np.linalg.norm(before, axis=1, keepdims=True), 1e-9)
    middle = step + before
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-9)
    cosine = np.maximum((middle * step).sum(axis=1, keepdims=True), MITER)
    offset: Points = np.stack([-middle[:, 1], middle[:, 0]], axis=1) / cosine
    return offset


def stroke(points_P2: Points, width: float, *, closed: bool) -> Points:
    """Return the outline of a thick line: with round ends, or a ring with a slit of no width."""
    offset = normals(points_P2, closed=closed) * (width / 2)
    left, right = points_P2 + offset, points_P2 - offset
    if closed:
        return np.concatenate([left, left[:1], right[:1], right[::-1]])
    angles = np.linspace(0, np.pi, 6)[1:-1, None]
    end = points_P2[-1] + np.cos(angles) * offset[-1] + np.sin(angles) * _forward(offset[-1])
    start = points_P2[0] - np.cos(angles) * offset[0] - np.sin(angles) * _forward(offset[0])
    return np.concatenate([left, end, right[::-1], start])


def _forward(offset_2: Points) -> Points:
    """Return the offset turned by a quarter: along the line instead of across."""
    return np.array([offset_2[1], -offset_2[0]])


def outline(part: Part, *, grow: float = 0.0) -> Points:
    """Return the polygon that fills a part; a line can be grown by ``grow`` on each side."""
    if part.width:
        return stroke(part.points_P2, part.width + 2 * grow, closed=part.closed)
    return part.points_P2


def flat(points_P2: Points) -> list[float]:
    """Return the points as Pillow wants them."""
    numbers: list[float] = points_P2.ravel().tolist()
    return numbers


def byte_colour(colour: npt.ArrayLike) -> tuple[int, ...]:
    """Return a colour of [0, 1] as bytes."""
    return tuple(np.clip(np.asarray(colour) * 255 + 0.5, 0, 255).astype(int).tolist())


def canvas(mode: str, size: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a black oversampled picture and its pen."""
    image = Image.new(mode, (size * OVERSAMPLE, size * OVERSAMPLE))
    return image, ImageDraw.Draw(image)


def pixels(image: Image.Image) -> Field:
    """Return an oversampled picture at its final size, float32 in [0, 1]."""
    return np.asarray(image.reduce(OVERSAMPLE), dtype=np.float32) / np.float32(255)


def layers(scene: Scene, rng: np.random.Generator, size: int) -> tuple[Field, Field, Field]:
    """Return flat colours (S, S, 3), silhouette (S, S) and a height per part (S, S), in [0, 1]."""
    colours, colour_pen = canvas("RGB", size)
    heights, height_pen = canvas("LA", size)
    side = size * OVERSAMPLE
    for part in scene.parts:
        polygon = flat(outline(part) * side)
        colour_pen.polygon(polygon, fill=byte_colour(scene.colours[part.role]))
        height_pen.polygon(polygon, fill=(int(rng.integers(150, 256)), 255))
    relief = pixels(heights)
    return pixels(colours), relief[..., 1], relief[..., 0]


def over(base: Field, top: Field, mask: Field) -> Field:
    """Return ``top`` (already weighted by its mask) laid over ``base``."""
    return base * (1 - mask[..., None]) + top


def blur(field: Field, radius: float) -> Field:
    """Return a (S, S) field in [0, 1] after a Gaussian blur of the radius in pixels."""
    image = Image.fromarray((field * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / np.float32(255)


def noise(rng: np.random.Generator, size: int, cells: int, *, across: int | None = None) -> Field:
    """Return smooth noise (S, S) of unit-scale values with about ``cells`` bumps a side."""
    grid = rng.standard_normal((cells + 1, (across or cells) + 1), dtype=np.float32)
    image = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def slopes(field: Field) -> tuple[Field, Field]:
    """Return the central differences of a (S, S) field along x and y."""
    along_x: Field = (np.roll(field, -1, 1) - np.roll(field, 1, 1)) / np.float32(2)
    along_y: Field = (np.roll(field, -1, 0) - np.roll(field, 1, 0)) / np.float32(2)
    return along_x, along_y


def grid(size: int) -> tuple[Field, Field]:
    """Return x and y in [0, 1] for each pixel, (S, S) each."""
    axis = ((np.arange(size) + 0.5) / size).astype(np.float32)
    y: Field = np.repeat(axis[:, None], size, axis=1)
    return y.T, y
