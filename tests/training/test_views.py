"""Augmented views: the first is the served one, the others random, repeatable and in bounds."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigError
from models.preprocess import Preprocess
from tests.helpers import picture
from training.views import ViewConfig, Views

PREPROCESS = Preprocess(resize=36, crop=32)


def _views(*, seed: int = 0, **fields: Any) -> Views:
    return Views(config=ViewConfig(**fields), seed=seed)


def test_the_first_view_is_the_served_one() -> None:
    """Bit for bit, so that training sees what the threshold is calibrated on."""
    image = picture(size=(100, 70))

    view = _views().pixels(image, PREPROCESS, digest="sha256:a", view=0)

    assert np.array_equal(view, PREPROCESS.fit(image))


def test_a_view_depends_on_seed_digest_and_number_alone() -> None:
    """Equal when all three are, different when one is."""
    image = picture(size=(100, 70))

    def view(seed: int = 1, digest: str = "sha256:a", number: int = 1) -> bytes:
        return _views(seed=seed).pixels(image, PREPROCESS, digest=digest, view=number).tobytes()

    assert view() == view()
    assert len({view(), view(seed=2), view(digest="sha256:b"), view(number=2)}) == 4


def test_views_are_crops_of_the_stated_share() -> None:
    """A ramp from 0 to 255 shows which part of the image a view took."""
    ramp_HW = np.tile(np.linspace(0, 255, 256, dtype=np.uint8), (256, 1))
    image = Image.fromarray(np.stack([ramp_HW, ramp_HW.T, ramp_HW], axis=-1))
    views = _views(count=64, scale=(0.5, 0.6), grey=0, jitter=0, flip=False)

    areas = []
    for number in range(1, 64):
        pixels = views.pixels(image, PREPROCESS, digest="sha256:a", view=number).astype(float)
        width, height = np.ptp(pixels[..., 0]) / 255, np.ptp(pixels[..., 1]) / 255
        areas.append(width * height)

    assert 0.45 < min(areas) < 0.52
    assert 0.54 < max(areas) < 0.62


def test_half_of_the_views_are_mirrored() -> None:
    """Unless left and right matter."""
    ramp_HW = np.tile(np.linspace(0, 255, 256, dtype=np.uint8), (256, 1))
    image = Image.fromarray(np.stack([ramp_HW] * 3, axis=-1))

    def mirrored(views: Views) -> int:
        pixels = [
            views.pixels(image, PREPROCESS, digest="sha256:a", view=number).astype(int)
            for number in range(1, 200)
        ]
        return sum(int(p[0, 0, 0] > p[0, -1, 0]) for p in pixels)

    assert 70 < mirrored(_views(count=200)) < 130
    assert mirrored(_views(count=200, flip=False)) == 0


def test_some_views_are_grey_and_the_rest_keep_their_colours() -> None:
    """The share of grey views is the stated one."""
    image = Image.new("RGB", (64, 64), (200, 60, 30))
    views = _views(count=400, grey=0.25, jitter=0.1)

    greys = 0
    for number in range(1, 400):
        red, green, blue = views.pixels(image, PREPROCESS, digest="sha256:a", view=number)[0, 0]
        greys += int(red == green == blue)
        assert red >= green >= blue

    assert 65 < greys < 140


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2)])
def test_extreme_shapes_give_views(size: tuple[int, int]) -> None:
    """A single pixel and a line are unusual, not errors."""
    for number in range(8):
        view = _views().pixels(picture(size=size), PREPROCESS, digest="sha256:a", view=number)
        assert view.shape == (32, 32, 3)
        assert view.dtype == np.uint8


def test_the_key_names_everything_that_changes_a_view() -> None:
    """Two plans with one key would share a cache."""
    plans = [
        _views(),
        _views(seed=1),
        _views(count=4),
        _views(scale=(0.5, 1.0)),
        _views(flip=False),
        _views(grey=0.0),
        _views(jitter=0.0),
    ]

    assert len({plan.key for plan in plans}) == len(plans)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 0}, "`count` must be at least 1, got 0"),
        ({"scale": (0.0, 1.0)}, r"`scale` must satisfy 0 < low <= high <= 1, got \(0.0, 1.0\)"),
        ({"scale": (0.9, 0.5)}, "`scale` must satisfy"),
        ({"grey": 1.5}, r"`grey` must lie in \[0, 1\], got 1.5"),
        ({"jitter": -1.0}, "`jitter` must lie"),
    ],
)
def test_a_wrong_config_is_refused(fields: dict[str, Any], message: str) -> None:
    """By field, with what was given."""
    with pytest.raises(ConfigError, match=message):
        _views(**fields)
