"""The Toybox as a source of images: named objects in four styles, the same for the same seed."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from models.errors import ConfigError
from training.toybox import extra, known, unknown
from training.toybox.cartoon import paint_cartoon
from training.toybox.painting import paint_painting
from training.toybox.photo import paint_photo
from training.toybox.raster import Field
from training.toybox.scene import Scene, compose
from training.toybox.sketch import paint_sketch
from training.toybox.texture import paint_texture

Pixels = npt.NDArray[np.uint8]

KNOWN: tuple[str, ...] = tuple(known.DRAW)
"""The objects a Toybox model is taught to know."""
UNKNOWN: tuple[str, ...] = tuple(unknown.DRAW)
"""The objects it never sees in training of any kind."""
EXTRA: tuple[str, ...] = tuple(extra.DRAW)
"""More objects, seen in pretraining only."""
TEXTURE = "texture"
"""Pictures without any object; also the name of the folder they are written to."""
STYLES: tuple[str, ...] = ("photo", "painting", "cartoon", "sketch")
"""The styles every object can be rendered in."""
QUALITY = 92
"""JPEG quality of written images: what a good camera or editor would use."""

_PAINT: dict[str, Callable[[Scene, np.random.Generator, int], Field]] = {
    "photo": paint_photo,
    "painting": paint_painting,
    "cartoon": paint_cartoon,
    "sketch": paint_sketch,
}


def render(name: str, style: str, *, seed: int, index: int, size: int = 128) -> Pixels:
    """Return one image, uint8 (size, size, 3), the same for the same arguments.

    ``name`` is any object, or `TEXTURE`, which looks the same in every style.
    Raises ConfigError for a name or style that does not exist.
    """
    return render_scene(name, style, seed=seed, index=index, size=size)[0]


def render_scene(
    name: str, style: str, *, seed: int, index: int, size: int = 128
) -> tuple[Pixels, Scene | None]:
    """Return what `render` does, and the scene behind it (None for a texture)."""
    _check(name, (*KNOWN, *UNKNOWN, *EXTRA, TEXTURE), "object")
    _check(style, STYLES, "style")
    rng = np.random.default_rng([seed, index, zlib.crc32(f"{style}/{name}".encode())])
    scene = None if name == TEXTURE else compose(name, rng)
    picture = paint_texture(rng, size) if scene is None else _PAINT[style](scene, rng, size)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), scene


def write_images(
    directory: Path,
    *,
    seed: int,
    per_class: int,
    styles: Sequence[str] = STYLES,
    names: Sequence[str] | None = None,
) -> int:
    """Write JPEG files ``style/object/0000.jpg`` and return how many.

    Without ``names``: every known and unknown object in every style, and ``per_class`` pure
    textures as ``texture/texture/0000.jpg``, as these have no style.
    """
    jobs = list(_jobs(styles, names))
    for folder, name, style in tqdm(jobs, unit="folder", desc="drawing"):
        target = directory / folder / name
        target.mkdir(parents=True, exist_ok=True)
        for index in range(per_class):
            pixels = render(name, style, seed=seed, index=index)
            Image.fromarray(pixels).save(target / f"{index:04d}.jpg", quality=QUALITY)
    return len(jobs) * per_class


def _jobs(styles: Sequence[str], names: Sequence[str] | None) -> Iterator[tuple[str, str, str]]:
    """Yield the folder, the object and the style of everything to write."""
    wanted = (*KNOWN, *UNKNOWN, TEXTURE) if names is None else tuple(names)
    for name in wanted:
        if name == TEXTURE:
            yield TEXTURE, TEXTURE, styles[0]
        else:
            yield from ((style, name, style) for style in styles)


def _check(given: str, allowed: tuple[str, ...], what: str) -> None:
    """Refuse a name that does not exist."""
    if given not in allowed:
        raise ConfigError(f"Unknown Toybox {what} '{given}'; choose from {', '.join(allowed)}.")
