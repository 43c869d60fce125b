"""Augmented views of a training image: random crops, mirror images, greys and colours.

Axes: H height, W width.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from models.errors import ConfigError
from models.preprocess import Preprocess

_FILTERS: Final = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
_LOG_ASPECT: Final = math.log(4 / 3)  # crops are at most 4:3 or 3:4


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewConfig:
    """How many views, and how far they depart from the image."""

    count: int = 8
    """Views of each image; the first is the plain one that is served."""
    scale: tuple[float, float] = (0.4, 1.0)
    """Smallest and largest share of the image's area in a random crop."""
    flip: bool = True
    """Mirror half of the views; switch off where left and right matter."""
    grey: float = 0.2
    """Share of views without colour."""
    jitter: float = 0.2
    """Brightness, contrast and saturation change by factors of up to 1 +- this."""

    def __post_init__(self) -> None:
        """Refuse counts and shares that make no view."""
        low, high = self.scale
        if self.count < 1:
            raise ConfigError(f"`count` must be at least 1, got {self.count}.")
        if not 0 < low <= high <= 1:
            raise ConfigError(f"`scale` must satisfy 0 < low <= high <= 1, got {self.scale}.")
        for name in ("grey", "jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """The views of every image, fixed by a seed: what ``models.embed`` calls a view plan."""

    config: ViewConfig
    """What the views look like."""
    seed: int
    """Another seed gives other views."""

    @property
    def count(self) -> int:
        """V, the number of views of an image."""
        return self.config.count

    @property
    def key(self) -> str:
        """Everything that changes a view, for the cache."""
        return json.dumps({**asdict(self.config), "seed": self.seed}, sort_keys=True)

    def pixels(
        self, image: Image.Image, preprocess: Preprocess, *, digest: str, view: int
    ) -> NDArray[np.uint8]:
        """Return one view of an RGB image, uint8 of shape (crop, crop, 3).

        View 0 is ``preprocess.fit(image)``. The others depend on seed, digest and view alone.
        """
        if view == 0:
            return preprocess.fit(image)
        rng = generator_of(self.seed, digest, view)
        resized = image.resize(
            (preprocess.crop, preprocess.crop),
            _FILTERS[preprocess.interpolation],
            box=_random_box(image.size, self.config.scale, rng),
        )
        mirrored = rng.random() < 0.5
        if mirrored and self.config.flip:
            resized = ImageOps.mirror(resized)
        return np.asarray(_recolour(resized, self.config, rng), dtype=np.uint8)


def generator_of(seed: int, digest: str, view: int) -> np.random.Generator:
    """Return randomness that depends on seed, content and view alone."""
    content = int.from_bytes(hashlib.sha256(digest.encode()).digest()[:16])
    return np.random.default_rng([seed, view, content])


def _random_box(
    size: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return a box inside the image: a random share of its area, aspect ratio and place."""
    width, height = size
    area = width * height * rng.uniform(*scale)
    aspect = math.exp(rng.uniform(-_LOG_ASPECT, _LOG_ASPECT))
    box_width = min(math.sqrt(area * aspect), width)
    box_height = min(math.sqrt(area / aspect), height)
    left = rng.uniform(0, width - box_width)
    top = rng.uniform(0, height - box_height)
    return left, top, left + box_width, top + box_height


def _recolour(image: Image.Image, config: ViewConfig, rng: np.random.Generator) -> Image.Image:
    if rng.random() < config.grey:
        return ImageOps.grayscale(image).convert("RGB")
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(1 - config.jitter, 1 + config.jitter))
    return image
