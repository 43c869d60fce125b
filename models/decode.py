"""Bytes of an image file -> an upright RGB picture: the same for training and serving."""

import functools
from typing import Final

import PIL
from PIL import ExifTags, Image, UnidentifiedImageError, features
from PIL.ImageFile import ImageFile

from models.errors import ImageError, ImageTooLarge, Undecodable, UnsupportedFormat
from models.structure import check_opened, guarded

MAX_PIXELS: Final = 50_000_000

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What every installation decodes, by Pillow's names. HEIF and AVIF are added where available."""

_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
"""How files of the fixed formats begin: with one of these, a file that will not open is broken."""
_BRANDS: Final = {"HEIF": (b"hei", b"hev", b"mif", b"msf"), "AVIF": (b"avi",)}
"""How the other formats name themselves, after the letters ``ftyp``."""
_NEEDS: Final = {
    "HEIF": "This is a HEIC image, which needs the extra `heif`: pip install pillow-heif.",
    "AVIF": "This is an AVIF image, which needs a Pillow built with AVIF (11.3 or later).",
}
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""


def decoder_version() -> str:
    """Return the decoder's name and version, as recorded in a bundle."""
    return f"pillow {PIL.__version__}"


@functools.cache
def formats() -> tuple[str, ...]:
    """Return the formats that this installation decodes, by Pillow's names."""
    optional = (("AVIF", features.check("avif")), ("HEIF", _register_heif()))
    return FORMATS + tuple(name for name, available in optional if available)


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
        Undecodable: truncated or otherwise broken, or of more parts than ``models.structure``
            allows.
    """
    if not data:
        raise Undecodable("The image is empty (0 bytes). Send the bytes of an image file.")
    image = _open(data)
    _check_size(image, max_pixels)
    try:
        check_opened(image, data, max_pixels=max_pixels)
        if draft is not None:
            image.draft("RGB", _draft_size(image, draft))
        image.load()
        return _to_rgb(_upright(image))
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except ImageError:
        raise
    except Exception as error:  # decoders raise anything on broken data
        raise Undecodable(
            f"The {image.format} image is truncated or damaged ({error}). "
            "Save it again from its source."
        ) from error


def _open(data: bytes) -> ImageFile:
    try:
        return Image.open(guarded(data), formats=formats())
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except ImageError:
        raise
    except Exception as error:  # decoders raise anything on broken data
        raise Undecodable(f"The image's header is damaged ({error}).") from error


def _unidentified(data: bytes) -> Undecodable | UnsupportedFormat:
    """Tell a damaged header from a format without a decoder, and both from no image at all."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    named = next((name for name, brands in _BRANDS.items() if brand.startswith(brands)), "")
    if data.startswith(_SIGNATURES) or named in formats():
        return Undecodable("The file begins like an image, but its header is damaged.")
    allowed = ", ".join(formats())
    return UnsupportedFormat(
        _NEEDS.get(named)
        or f"The data is not an image that can be read. Formats that can: {allowed}."
    )


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


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF orientation says; notes that cannot be read say nothing.

    Pillow's own ``exif_transpose`` also writes the notes anew, and fails on those it cannot write.
    """
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    # Of a large picture every further copy counts: a few kilobytes can hold 50 megapixels.
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white


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
