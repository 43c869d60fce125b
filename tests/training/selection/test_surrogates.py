"""Far stand-ins are made of the image, keep its size, and are views that can be embedded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from models.embed import ViewPlan, embed_files
from models.encoder import file_digest
from models.preprocess import Preprocess
from tests.helpers import FakeEncoder, make_folders, picture
from training.baselines.few_shot import unit
from training.selection.surrogates import TextureView, scrambled, texture
from training.views import ViewConfig, Views, generator_of

# Axes: N images, V views, P pool, D embedding, H height, W width, C colours.

PREPROCESS = Preprocess(resize=36, crop=32)
SIZES = [(32, 32), (224, 224), (33, 33), (31, 31), (23, 23), (15, 15), (7, 7), (5, 5), (4, 4)]
TINY = [(3, 3), (2, 2), (1, 1)]
OBLONG = [(32, 48), (48, 32), (17, 90)]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class File:
    """A file and its digest."""

    path: Path
    digest: str


def pixels(size: tuple[int, int]) -> Pixels:
    """Return an image in which nearly every pixel has a colour of its own."""
    return np.random.default_rng(5).integers(256, size=(*size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [*SIZES, *TINY, *OBLONG])
def test_texture_repeats_a_mirrored_square_of_the_image(size: tuple[int, int]) -> None:
    """It fills the size that was given, repeats after two sides, and shows no edge."""
    image_HWC, side = pixels(size), max(1, min(size) // 8)

    filled_HWC = texture(image_HWC, np.random.default_rng(3))

    assert filled_HWC.shape == image_HWC.shape
    assert filled_HWC.dtype == np.uint8
    patch_HWC = filled_HWC[:side, :side]
    places = np.lib.stride_tricks.sliding_window_view(image_HWC, (side, side, 3))
    assert np.any(np.all(places[:, :, 0] == patch_HWC, axis=(2, 3, 4)))
    row, column = (_mirrored(length, side) for length in size)
    np.testing.assert_array_equal(filled_HWC, patch_HWC[row][:, column])


def _mirrored(length: int, side: int) -> NDArray[np.int64]:
    """Return 0, 1, 2, 2, 1, 0, 0, 1, ... for a side of 3."""
    place = np.arange(length) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


def test_texture_takes_its_square_from_anywhere() -> None:
    """Corners included: 64 squares of one pixel are all met."""
    image_HWC = np.arange(64, dtype=np.uint8).reshape(8, 8, 1).repeat(3, axis=2)
    rng = np.random.default_rng(0)
    assert {int(texture(image_HWC, rng)[0, 0, 0]) for _ in range(1000)} == set(range(64))


def test_scrambled_takes_half_of_the_coordinates_from_others() -> None:
    """Each at its own place and at unit length; the rest is the image's."""
    rng = np.random.default_rng(1)
    x_ND, pool_PD = (rng.standard_normal((n, 40)).astype(np.float32) for n in (50, 30))

    mixed_ND = scrambled(3 * x_ND, 7 * pool_PD, np.random.default_rng(0))

    unit_ND, unit_PD = unit(x_ND).astype(np.float32), unit(pool_PD).astype(np.float32)
    kept_ND = np.isclose(mixed_ND, unit_ND, atol=1e-6)
    taken_ND = np.isclose(mixed_ND[:, None], unit_PD, atol=1e-6).any(axis=1)
    assert mixed_ND.shape == x_ND.shape
    assert mixed_ND.dtype == np.float32
    assert np.all(kept_ND | taken_ND)
    low, high = stats.binom.ppf([0.0005, 0.9995], kept_ND.size, 0.5)
    assert low <= np.count_nonzero(kept_ND) <= high
    assert np.all(kept_ND.any(axis=1) & ~kept_ND.all(axis=1))


def test_scrambled_takes_from_many_others() -> None:
    """A coordinate's source is drawn for itself: otherwise two images would be pasted together."""
    pool_PD = np.random.default_rng(1).standard_normal((30, 40)).astype(np.float32)
    mixed_ND = scrambled(np.ones((1, 40), np.float32), pool_PD, np.random.default_rng(0))
    sources = np.isclose(mixed_ND, unit(pool_PD), atol=1e-6).any(axis=1)
    assert np.count_nonzero(sources) > 8


def test_scrambled_repeats_itself_by_its_randomness() -> None:
    """Equal generators give equal bits, others do not."""
    x_ND = np.random.default_rng(1).standard_normal((9, 12)).astype(np.float32)
    one, same, other = (scrambled(x_ND, x_ND, np.random.default_rng(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_view_is_the_texture_of_the_fitted_image() -> None:
    """Randomness is of seed and content alone."""
    image = picture(size=(100, 70))

    def view(seed: int = 4, digest: str = "sha256:a") -> Pixels:
        return TextureView(seed=seed).pixels(image, PREPROCESS, digest=digest, view=0)

    expected_HWC = texture(PREPROCESS.fit(image), generator_of(4, "sha256:a", 0))
    np.testing.assert_array_equal(view(), expected_HWC)
    assert len({view().tobytes(), view(seed=2).tobytes(), view(digest="sha256:b").tobytes()}) == 3


def test_the_key_changes_with_the_seed_and_is_not_that_of_other_views() -> None:
    """Two plans with one key would share a cache."""
    keys = [TextureView(seed=0).key, TextureView(seed=1).key]
    keys.append(Views(config=ViewConfig(count=2), seed=0).key)
    assert len(set(keys)) == 3
    assert TextureView(seed=0).key == TextureView(seed=0).key


def test_views_can_be_embedded(tmp_path: Path) -> None:
    """The cache gives the same bits, and another seed is not taken from it."""
    folder = make_folders(tmp_path / "images", {"cup": 3})
    files = [File(path, file_digest(path)) for path in sorted(folder.rglob("*.jpg"))]

    def embed(seed: int, encoder: FakeEncoder) -> NDArray[np.float32]:
        plan: ViewPlan = TextureView(seed=seed)
        return embed_files(files, encoder, PREPROCESS, cache=tmp_path / "cache", views=plan)

    first, again, other = FakeEncoder(), FakeEncoder(), FakeEncoder()
    first_NVD, again_NVD, other_NVD = embed(0, first), embed(0, again), embed(1, other)

    assert first_NVD.shape == (3, 1, first.dim)
    np.testing.assert_array_equal(first_NVD, again_NVD)
    assert (first.images, again.images, other.images) == (3, 0, 3)
    assert not np.array_equal(first_NVD, other_NVD)
    plain_NVD = embed_files(files, FakeEncoder(), PREPROCESS)
    assert np.all(np.abs(first_NVD - plain_NVD).max(axis=2) > 1e-3)
