"""models.preprocess."""

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigError
from models.preprocess import Preprocess
from tests.helpers import make_image, picture


def test_pixels_have_the_encoders_shape() -> None:
    """Any picture becomes uint8 (crop, crop, 3), a one-pixel one too."""
    preprocess = Preprocess(resize=36, crop=32)

    for size in ((1, 1), (500, 20), (64, 64)):
        pixels_HWC = preprocess.pixels(make_image(format="PNG", size=size))
        assert pixels_HWC.shape == (32, 32, 3)
        assert pixels_HWC.dtype == np.uint8


def test_resize_and_crop_in_one_step_equal_two() -> None:
    """Reading only the kept box gives the pixels of resizing all of it and cropping."""
    image = picture(size=(120, 80))
    whole = image.resize((96, 64), Image.Resampling.BICUBIC).crop((24, 8, 72, 56))

    ours_HWC = Preprocess(resize=64, crop=48).fit(image).astype(int)

    assert np.abs(ours_HWC - np.asarray(whole)).max() <= 1


def test_wrong_settings_are_refused_by_name() -> None:
    """The message has the field, the value and what is allowed."""
    with pytest.raises(ConfigError, match=r"1 <= crop <= resize <= 4096, got crop=64, resize=32"):
        Preprocess(resize=32, crop=64)
    with pytest.raises(ConfigError, match="`interpolation` must be one of bicubic, bilinear"):
        Preprocess(resize=32, crop=32, interpolation="nearest")  # type: ignore[arg-type]
