"""Pure textures without any object: pictures far from everything a model knows."""

import numpy as np

from training.toybox import palette
from training.toybox.raster import Field, grid, noise


def paint_texture(rng: np.random.Generator, size: int) -> Field:
    """Return stripes, checks, waves, clouds, grain or scales in two or three colours, (S, S, 3)."""
    _, one = palette.pick(rng)
    _, two = palette.pick(rng, unlike=one)
    _, three = palette.pick(rng)
    weight = np.clip(_pattern(rng, size), 0, 1)[..., None]
    tint = np.clip(noise(rng, size, 3) * 0.25, 0, 0.5)[..., None]
    picture = (one + (two - one) * weight) * (1 - tint) + three * tint
    sensor = rng.standard_normal(picture.shape, dtype=np.float32)
    textured: Field = picture + sensor * np.float32(rng.uniform(0, 0.03))
    return textured


def _pattern(rng: np.random.Generator, size: int) -> Field:
    """Return the blend of the first two colours, (S, S)."""
    x, y = grid(size)
    turn, pitch = rng.uniform(0, np.pi), rng.uniform(15, 70)
    bend = noise(rng, size, 4) * rng.uniform(0, 1.5)
    along = (x * np.cos(turn) + y * np.sin(turn)) * pitch + bend
    across = (y * np.cos(turn) - x * np.sin(turn)) * pitch * rng.uniform(0.7, 1.4)
    hard = rng.uniform(0.6, 6)
    rings = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1)) * pitch + bend
    wood = noise(rng, size, size // 3, across=int(rng.integers(2, 40)))
    patterns: tuple[Field, ...] = (
        hard * np.sin(along) / 2,
        hard * np.sin(along) * np.sin(across),
        hard * np.sin(rings) / 2,
        0.5 * noise(rng, size, 5) + 0.3 * noise(rng, size, 11),
        0.4 * wood,
        hard * (np.abs(np.sin(along)) - np.abs(np.cos(across))),
    )
    pattern: Field = patterns[int(rng.integers(len(patterns)))] + 0.5
    return pattern
