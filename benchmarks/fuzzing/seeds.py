"""Whole image files of every format and most modes that the decoder reads, to be damaged."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

from PIL import Image

from models.decode import decode, formats

_ON_ITS_SIDE: Final = b"Exif\0\0MM\0*" + bytes.fromhex(
    "00000008 0001 0112 0003 00000001 00060000 00000000"
)
_VARIANTS: Final[dict[str, tuple[tuple[str, dict[str, Any]], ...]]] = {
    "JPEG": (
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("L", {}),
        ("CMYK", {}),
        ("RGB", {"exif": _ON_ITS_SIDE}),
    ),
    "PNG": (("RGB", {}), ("RGBA", {}), ("P", {}), ("L", {}), ("LA", {}), ("1", {}), ("I;16", {})),
    "WEBP": (("RGB", {}), ("RGBA", {"lossless": True})),
    "BMP": (("RGB", {}), ("P", {}), ("1", {})),
    "TIFF": (
        ("RGB", {}),
        ("RGB", {"compression": "tiff_lzw"}),
        ("RGB", {"compression": "jpeg"}),
        ("L", {"compression": "tiff_adobe_deflate"}),
        ("1", {"compression": "group4"}),
        ("CMYK", {}),
        ("F", {}),
    ),
    "GIF": (("P", {}), ("L", {})),
    "AVIF": (("RGB", {}), ("RGBA", {})),
    "HEIF": (("RGB", {}), ("RGBA", {})),
}
"""Mode and options of each file, by format."""
_SIDE: Final = 96


def seeds(images: Sequence[bytes]) -> list[bytes]:
    """Return each image in every format and mode, and a few animations."""
    pictures = [decode(data).resize((_SIDE, _SIDE)) for data in images]
    return [file for picture in pictures for file in _files(picture)]


def _files(picture: Image.Image) -> Iterator[bytes]:
    for form in formats():
        for mode, options in _VARIANTS[form]:
            yield _saved(picture.convert(_base(mode)).convert(mode), form, **options)
    for form in ("GIF", "WEBP"):
        turned = picture.transpose(Image.Transpose.ROTATE_90)
        yield _saved(picture, form, save_all=True, append_images=[turned])


def _base(mode: str) -> str:
    """Return a mode that converts to both RGB and this one."""
    return "L" if mode in ("I;16", "F", "LA") else "RGB"


def _saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()
