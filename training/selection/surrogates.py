"""Far stand-ins for unknown images, made of known ones: what is in them, but no object.

Axes: N images, P images to take from, D embedding, H height, W width, C colours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preprocess import Preprocess
from training.baselines.few_shot import unit
from training.views import generator_of

Pixels = NDArray[np.uint8]

_PATCH: Final = 8
"""A texture repeats a square of this fraction of the side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextureView:
    """One view of every image, without its object: what ``models.embed`` calls a view plan."""

    seed: int
    """Another seed gives other views."""

    @property
    def count(self) -> int:
        """One view an image."""
        return 1

    @property
    def key(self) -> str:
        """Everything that changes a view, for the cache."""
        return f"texture {_PATCH} {self.seed}"

    def pixels(
        self, image: Image.Image, preprocess: Preprocess, *, digest: str, view: int
    ) -> Pixels:
        """Return the view, shape (crop, crop, 3)."""
        return texture(preprocess.fit(image), generator_of(self.seed, digest, view))


def texture(pixels_HWC: Pixels, rng: np.random.Generator) -> Pixels:
    """Fill the image with one small square of it, mirrored so that no edge shows."""
    height, width, _ = pixels_HWC.shape
    side = max(1, min(height, width) // _PATCH)
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    patch_HWC = pixels_HWC[y : y + side, x : x + side]
    row_HWC = np.concatenate([patch_HWC, patch_HWC[:, ::-1]], axis=1)
    tile_HWC = np.concatenate([row_HWC, row_HWC[::-1]], axis=0)
    times = [-(-length // (2 * side)) for length in (height, width)]
    return np.tile(tile_HWC, (*times, 1))[:height, :width]


def scrambled(
    embeddings_ND: NDArray[np.float32], pool_PD: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Take half of an image's coordinates, each at random, from other images: shape (N, D).

    For when there are embeddings and no pixels. Both are brought to unit length first.
    """
    x_ND, from_PD = unit(embeddings_ND), unit(pool_PD)
    sources_ND = rng.integers(len(from_PD), size=x_ND.shape)
    other_ND = from_PD[sources_ND, np.arange(x_ND.shape[1])]
    return np.where(rng.random(x_ND.shape) < 0.5, other_ND, x_ND).astype(np.float32)
