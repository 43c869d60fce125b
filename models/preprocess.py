"""Picture -> the square of pixels that an encoder takes. Normalising is the encoder graph's."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.decode import MAX_PIXELS, decode
from models.errors import ConfigError

Interpolation = Literal["bicubic", "bilinear"]
Decoder = Literal["pillow-draft"]

_FILTERS: Final = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """How a picture becomes pixels. Part of a model: other pixels mean another threshold."""

    resize: int
    """Shorter side after resizing, in pixels."""
    crop: int
    """Side of the centre crop, in pixels: the encoder's input size."""
    interpolation: Interpolation = "bicubic"
    """Resampling filter, with antialiasing."""
    decoder: Decoder = "pillow-draft"
    """Pillow; JPEGs use its scaled decoding as long as it keeps twice ``resize``."""

    def __post_init__(self) -> None:
        """Refuse sizes and names that cannot work."""
        if not 1 <= self.crop <= self.resize <= 4096:
            raise ConfigError(
                "`crop` and `resize` must satisfy 1 <= crop <= resize <= 4096, got "
                f"crop={self.crop}, resize={self.resize}."
            )
        for field, value, allowed in (
            ("interpolation", self.interpolation, get_args(Interpolation)),
            ("decoder", self.decoder, get_args(Decoder)),
        ):
            if value not in allowed:
                raise ConfigError(f"`{field}` must be one of {', '.join(allowed)}, got {value!r}.")

    def pixels(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """Return the encoder's input, uint8 of shape (crop, crop, 3), for an image file.

        Raises:
            ImageError: what ``models.decode.decode`` raises.
        """
        return self.fit(self.open(data, max_pixels=max_pixels))

    def open(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """Decode an image file, no larger than this preprocessing can make use of.

        Raises:
            ImageError: what ``models.decode.decode`` raises.
        """
        return decode(data, draft=2 * self.resize, max_pixels=max_pixels)

    def fit(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize an RGB image and crop its centre: uint8, shape (crop, crop, 3).

        Resizing reads only the part that the crop keeps: the same pixels as resizing all of it,
        in half the time, and a very long picture cannot fill the memory.
        """
        width, height = image.size
        kept = min(width, height) * self.crop / self.resize
        left, top = (width - kept) / 2, (height - kept) / 2
        square = image.resize(
            (self.crop, self.crop),
            _FILTERS[self.interpolation],
            box=(left, top, left + kept, top + kept),
        )
        return np.asarray(square, dtype=np.uint8)
