"""The photo-like style: light, relief, texture, soft shadow, sensor noise."""

import numpy as np

from training.toybox.raster import Field, blur, grid, layers, noise, over, slopes
from training.toybox.scene import Scene


def backdrop(scene: Scene, rng: np.random.Generator, size: int) -> Field:
    """Return a lit, textured wall (often with a table edge), (S, S, 3)."""
    x, y = grid(size)
    base = scene.background * np.float32(0.8) + np.float32(0.1)
    turn = rng.uniform(0, 2 * np.pi)
    ramp = (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn)
    light = 1 + rng.uniform(0.1, 0.4) * ramp + 0.05 * noise(rng, size, 4)
    if rng.random() < 0.6:
        level = rng.uniform(0.45, 0.8) + rng.normal(0, 0.05) * (x - 0.5)
        table = np.clip((y - level) * size / 3, 0, 1)
        light = light * (1 + table * rng.uniform(-0.35, 0.35))
    light = light + grain(rng, size)
    tint = base[None, None] + 0.03 * noise(rng, size, 3)[..., None]
    wall: Field = (tint * light[..., None]).astype(np.float32)
    return wall


def grain(rng: np.random.Generator, size: int) -> Field:
    """Return the fine texture of a surface: wood, cloth, speckle or plain, (S, S)."""
    kind, depth = int(rng.integers(4)), np.float32(rng.uniform(0.02, 0.07))
    if kind == 0:
        return depth * noise(rng, size, size // 4, across=3)
    if kind == 1:
        x, y = grid(size)
        pitch = np.float32(rng.uniform(60, 120))
        cloth: Field = depth * (np.sin(x * pitch) * np.sin(y * pitch))
        return cloth
    return depth * noise(rng, size, size // (3 if kind == 2 else 12))


def shade(mask: Field, relief: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """Return how the light falls on the object: a factor and a highlight, (S, S) each."""
    size = len(mask)
    round_x, round_y = slopes(blur(mask, size * 0.075))
    edge_x, edge_y = slopes(blur(relief, size * 0.018))
    turn = rng.uniform(0.9, 2.2)
    light_x, light_y = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    slope = (round_x * light_x + round_y * light_y) * np.float32(size / 10)
    edges = (edge_x * light_x + edge_y * light_y) * np.float32(size / 30)
    facing = np.clip(slope + edges, -1, 1)
    factor = 0.95 + np.float32(rng.uniform(0.35, 0.6)) * facing
    highlight = np.clip(facing, 0, 1) ** 3 * np.float32(rng.uniform(0, 0.6))
    return factor, highlight


def shadow(mask: Field, rng: np.random.Generator) -> Field:
    """Return the soft shadow that the object throws, (S, S) in [0, 1]."""
    size = len(mask)
    soft = blur(mask, size * rng.uniform(0.02, 0.05))
    drop = (int(size * rng.uniform(0.02, 0.06)), int(size * rng.uniform(-0.05, 0.05)))
    return np.roll(soft, drop, (0, 1)) * np.float32(rng.uniform(0.3, 0.65))


def lit(scene: Scene, rng: np.random.Generator, size: int) -> tuple[Field, Field]:
    """Return the lit picture (S, S, 3) without camera effects, and the silhouette (S, S)."""
    albedo, mask, relief = layers(scene, rng, size)
    back = backdrop(scene, rng, size) * (1 - shadow(mask, rng)[..., None])
    factor, highlight = shade(mask, relief, rng)
    surface = factor + np.float32(rng.uniform(0.2, 1.0)) * grain(rng, size)
    front = albedo * surface[..., None] + (highlight * mask)[..., None]
    return over(back, front, mask), mask


def paint_photo(scene: Scene, rng: np.random.Generator, size: int) -> Field:
    """Return the scene as a photograph might show it, (S, S, 3)."""
    picture, _ = lit(scene, rng, size)
    x, y = grid(size)
    vignette = 1 - np.float32(rng.uniform(0, 0.6)) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    warmth = np.array([1, 1, 1], np.float32) + rng.normal(0, 0.04, 3).astype(np.float32)
    picture = picture * vignette[..., None] * warmth * np.float32(rng.uniform(0.85, 1.12))
    sensor = rng.standard_normal(picture.shape, dtype=np.float32)
    return picture + sensor * np.float32(rng.uniform(0.008, 0.03))
