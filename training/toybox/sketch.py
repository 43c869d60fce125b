"""The sketched style: wobbly pencil lines and hatching on paper."""

import numpy as np
from PIL import ImageDraw

from training.toybox.raster import (
    OVERSAMPLE,
    Field,
    canvas,
    flat,
    grid,
    noise,
    outline,
    pixels,
    stroke,
)
from training.toybox.scene import Scene
from training.toybox.shapes import Part, Points

PENCILS = np.array(
    [
        (0.16, 0.16, 0.18),
        (0.10, 0.10, 0.11),
        (0.33, 0.22, 0.16),
        (0.16, 0.20, 0.38),
        (0.42, 0.16, 0.15),
    ],
    dtype=np.float32,
)
"""RGB of the pencils: graphite twice as likely as each of sepia, blue and red."""


def paint_sketch(scene: Scene, rng: np.random.Generator, size: int) -> Field:
    """Return the scene as a pencil drawing, (S, S, 3)."""
    lines, line_pen = canvas("L", size)
    tones, tone_pen = canvas("L", size)
    width = size * OVERSAMPLE * rng.uniform(0.008, 0.014)
    for part in scene.parts:
        _draw(line_pen, part, rng, width)
        grey = float(scene.colours[part.role].mean())
        tone_pen.polygon(flat(outline(part) * size * OVERSAMPLE), fill=int(255 * (1 - grey)))
    pressure = 0.85 + np.float32(0.25) * noise(rng, size, size // 2)
    ink = np.maximum(pixels(lines), pixels(tones) * _hatching(rng, size)) * pressure
    paper = _paper(rng, size)
    pencil = PENCILS[int(rng.integers(len(PENCILS)))]
    ink = np.clip(ink, 0, 1)[..., None] * np.float32(rng.uniform(0.75, 0.98))
    picture: Field = paper * (1 - ink) + pencil * ink
    return picture


def _draw(pen: ImageDraw.ImageDraw, part: Part, rng: np.random.Generator, width: float) -> None:
    """Draw a part's outline twice with a slight wobble, hiding what lies behind it."""
    side = pen.im.size[0]
    if part.width:
        pen.polygon(flat(outline(part, grow=width / side / 2) * side), fill=235)
        pen.polygon(flat(outline(part, grow=-width / side / 2) * side), fill=0)
        return
    pen.polygon(flat(part.points_P2 * side), fill=0)
    for strength in (150, 245):
        path = _wobble(_dense(part.points_P2 * side, step=side / 24), rng, side * 0.0045)
        pen.polygon(flat(stroke(path, width, closed=True)), fill=strength)


def _dense(points_P2: Points, *, step: float) -> Points:
    """Return a closed outline with extra points on its long sides."""
    pieces = []
    for start, end in zip(points_P2, np.roll(points_P2, -1, axis=0), strict=True):
        count = max(1, int(np.linalg.norm(end - start) / step))
        pieces.append(start + (end - start) * (np.arange(count) / count)[:, None])
    return np.concatenate(pieces)


def _wobble(points_P2: Points, rng: np.random.Generator, amount: float) -> Points:
    """Return the points moved by noise that follows the hand: slow along the line."""
    shake = rng.normal(0, amount, points_P2.shape)
    smooth = (shake + np.roll(shake, 1, axis=0) + np.roll(shake, 2, axis=0)) * 0.7
    return points_P2 + smooth + rng.normal(0, amount, 2)


def _hatching(rng: np.random.Generator, size: int) -> Field:
    """Return parallel pencil strokes over the whole sheet, (S, S) in [0, 1]."""
    x, y = grid(size)
    turn = rng.uniform(0.5, 1.1) * (1 if rng.random() < 0.5 else -1)
    along = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
    pitch = np.float32(rng.uniform(110, 190))
    waves = np.sin(along * pitch + noise(rng, size, 5))
    strokes: Field = np.clip(waves * 0.7 + 0.35, 0, 1) * np.float32(rng.uniform(0.35, 0.85))
    return strokes


def _paper(rng: np.random.Generator, size: int) -> Field:
    """Return a sheet of paper with its grain, (S, S, 3)."""
    tint = np.array([0.95, 0.94, 0.9], np.float32) + rng.normal(0, 0.025, 3).astype(np.float32)
    uneven = noise(rng, size, 3) + noise(rng, size, size // 2)
    sheet: Field = tint * (1 + np.float32(0.02) * uneven[..., None])
    return sheet
