"""Bytes of an image file -> an upright RGB picture: the same for training and serving."""

import functools
import io
from typing import Final

import PIL
from PIL import Image, ImageOps, UnidentifiedImageError, features

from models.errors import ImageTooLarge, Undecodable, UnsupportedFormat

MAX_PIXELS: Final = 50_000_000

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What every installation decodes, by Pillow's names. HEIF and AVIF are added where available."""

_MEDIA_TYPES: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    "HEIF": "image/heic",
    "AVIF": "image/avif",
}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError)
"""What Pillow's decoders have been seen to raise on broken data."""
_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
"""How files of the fixed formats begin: with one of these, a file that will not open is broken."""


def decoder_version() -> str:
    """Return the decoder's name and version, as recorded in a bundle."""
    return f"pillow {PIL.__version__}"


@functools.cache
def formats() -> tuple[str, ...]:
    """Return the formats that this installation decodes, by Pillow's names."""
    optional = (("AVIF", features.check("avif")), ("HEIF", _register_heif()))
    return FORMATS + tuple(name for name, available in optional if available)


def media_types() -> dict[str, str]:
    """Return ``{format: media type}`` for every format that this installation decodes."""
    return {name: _MEDIA_TYPES[name] for name in formats()}


def decode(data: bytes, *, draft: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode one image file into an upright RGB image.

    The first frame of an animation is taken, the EXIF orientation applied, transparency laid on
    white, and CMYK, grey, palette and 16-bit pictures converted to 8-bit RGB.

    Args:
        data: the bytes of the file.
        draft: the shorter side in pixels that the caller needs. A JPEG is then decoded at the
            smallest of its built-in scales (1/2, 1/4, 1/8) that keeps at least this many.
        max_pixels: the largest width x height that is decoded.

    Raises:
        UnsupportedFormat: not an image, or a format this installation cannot decode.
        ImageTooLarge: more than ``max_pixels`` pixels, found before any is decoded.
        Undecodable: truncated or otherwise broken.
    """
    if not data:
        raise Undecodable("The image is empty (0 bytes). Send the bytes of an image file.")
    image = _open(data)
    _check_size(image, max_pixels)
    try:
        if draft is not None:
            image.draft("RGB", _draft_size(image, draft))
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except _BROKEN as error:
        raise Undecodable(
            f"The {image.format} image is truncated or damaged ({error}). "
            "Save it again from its source."
        ) from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=formats())
    except UnidentifiedImageError:
        if data.startswith(_SIGNATURES):
            raise Undecodable("The file begins like an image, but its header is damaged.") from None
        raise UnsupportedFormat(_why_unsupported(data)) from None
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except _BROKEN as error:
        raise Undecodable(f"The image's header is damaged ({error}).") from error


def _why_unsupported(data: bytes) -> str:
    allowed = ", ".join(formats())
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand.startswith((b"hei", b"hev", b"mif", b"msf")):
        return "This is a HEIC image, which needs the extra `heif`: pip install 'croft-ood[heif]'."
    if brand.startswith(b"avi"):
        return "This is an AVIF image, which needs a Pillow built with AVIF (11.3 or later)."
    return f"The data is not an image that can be read. Formats that can: {allowed}."


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"The image has {width} x {height} = {width * height:,} pixels; at most "
            f"{max_pixels:,} are decoded. Send a smaller version."
        )


def _draft_size(image: Image.Image, draft: int) -> tuple[int, int]:
    """Return the size that makes Pillow keep ``draft`` pixels on the shorter side."""
    width, height = image.size
    shorter = min(width, height)
    return max(1, width * draft // shorter), max(1, height * draft // shorter)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale 16-bit integers (0..65535) or floats (0..1) to 8 bits; Pillow would clip them."""
    scale = 255.0 if image.mode == "F" else 255.0 / 65535.0
    return image.convert("F").point(lambda value: value * scale).convert("L").convert("RGB")


def _register_heif() -> bool:
    try:
        import pillow_heif  # an extra
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
