"""models.decode."""

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.decode import decode, formats
from models.errors import ImageTooLarge, Undecodable, UnsupportedFormat
from tests.helpers import make_image


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_fixed_format_is_decoded(format: str) -> None:
    """Each of the six formats gives an RGB image of the right size."""
    image = decode(make_image(format=format, size=(40, 30)))

    assert (image.mode, image.size) == ("RGB", (40, 30))


@pytest.mark.parametrize(
    ("mode", "format"),
    [("L", "PNG"), ("CMYK", "JPEG"), ("P", "PNG"), ("1", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG")],
)
def test_every_colour_mode_becomes_rgb(mode: str, format: str) -> None:
    """Grey, CMYK, palette, bilevel and transparent pictures are converted, not refused."""
    assert decode(make_image(mode=mode, format=format)).mode == "RGB"


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    """A 16-bit grey of half intensity becomes 8-bit 127, where clipping would give 255."""
    buffer = io.BytesIO()
    Image.new("I;16", (4, 4), 32768).save(buffer, format="PNG")

    assert decode(buffer.getvalue()).getpixel((1, 1)) == (127, 127, 127)


def test_transparency_is_laid_on_white() -> None:
    """A fully transparent black pixel is white, as a viewer shows it."""
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(buffer, format="PNG")

    assert decode(buffer.getvalue()).getpixel((0, 0)) == (255, 255, 255)


def test_a_transparent_colour_is_laid_on_white() -> None:
    """An RGB picture whose black is declared transparent shows white there."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "black").save(buffer, format="PNG", transparency=(0, 0, 0))

    assert decode(buffer.getvalue()).getpixel((0, 0)) == (255, 255, 255)


def test_a_half_transparent_picture_is_blended() -> None:
    """Half-transparent black on white is middle grey."""
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(buffer, format="PNG")

    assert decode(buffer.getvalue()).getpixel((0, 0)) == (127, 127, 127)


_PEAK = """
import io, pathlib
from PIL import Image
from models.decode import decode, formats
formats()
buffer = io.BytesIO()
Image.new("RGBA", (4000, 4000)).save(buffer, "PNG")
pathlib.Path("/proc/self/clear_refs").write_text("5")
decode(buffer.getvalue())
print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_bomb_within_the_limit_takes_two_pictures_of_memory() -> None:
    """A transparent 16-megapixel PNG of a few kilobytes: itself, its RGB, and no further copy."""
    command = [sys.executable, "-c", _PEAK]
    peak_kib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak_kib * 1024 < 3 * 4 * 4000 * 4000


def test_exif_orientation_is_applied() -> None:
    """A picture stored on its side comes out upright."""
    assert decode(make_image(size=(40, 30), orientation=6)).size == (30, 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_would(orientation: int) -> None:
    """The eight orientations give the pixels that Pillow's own turning gives."""
    data = make_image(size=(40, 30), orientation=orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))

    assert np.array_equal(np.asarray(decode(data)), np.asarray(expected))


def _exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return EXIF of raw entries: tag, type, count, value."""
    packed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_notes_that_cannot_be_read_do_not_spoil_a_picture(format: str) -> None:
    """EXIF that is noise is passed over, as every viewer does."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, format=format, exif=b"Exif\0\0noise, not TIFF")

    assert decode(buffer.getvalue()).size == (8, 6)


def test_a_picture_is_turned_even_if_its_other_notes_are_odd() -> None:
    """Width given as letters and a date given as a number: notes that could not be written."""
    notes = _exif((0x0112, 3, 1, b"\6"), (0x0100, 2, 2, b"a"), (0x0132, 4, 1, b"\1"))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, format="JPEG", exif=notes)

    assert decode(buffer.getvalue()).size == (6, 8)


def test_first_frame_of_an_animation() -> None:
    """Of an animated GIF the first frame is taken."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:])

    assert decode(buffer.getvalue()).getpixel((0, 0)) == (255, 0, 0)


def test_draft_keeps_what_the_caller_needs() -> None:
    """JPEG's scaled decoding never gives less than the asked-for shorter side."""
    image = decode(make_image(size=(640, 480)), draft=100)

    assert image.size == (160, 120)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_file_is_undecodable(format: str) -> None:
    """Half a file is an error, never half a picture."""
    data = make_image(format=format, size=(200, 200))

    with pytest.raises(Undecodable, match=r"truncated or damaged|header is damaged"):
        decode(data[: len(data) // 2])


def test_empty_and_foreign_data() -> None:
    """Zero bytes are undecodable; text is an unsupported format and the message lists the rest."""
    with pytest.raises(Undecodable, match="0 bytes"):
        decode(b"")
    with pytest.raises(UnsupportedFormat, match="Formats that can: JPEG, PNG"):
        decode(b"hello, this is text")


def test_a_damaged_header_is_not_called_a_foreign_format() -> None:
    """What begins like a PNG is a broken PNG, not an unknown format."""
    with pytest.raises(Undecodable, match="header is damaged"):
        decode(b"\x89PNG\r\n\x1a\nnonsense")


@pytest.mark.skipif("AVIF" not in formats(), reason="this Pillow has no AVIF")
def test_a_damaged_avif_is_undecodable() -> None:
    """Where AVIF is read, a cut header or spoiled data is damage and not a missing decoder."""
    data = make_image(format="AVIF", size=(64, 64))
    with pytest.raises(Undecodable, match="header is damaged"):
        decode(data[:40])
    with pytest.raises(Undecodable, match="truncated or damaged"):
        decode(data[: len(data) // 2] + b"\xff" * (len(data) - len(data) // 2))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A 100-megapixel PNG of a few kilobytes is refused by its header."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, format="PNG")

    with pytest.raises(ImageTooLarge, match=r"10000 x 10000 = 100,000,000 pixels; at most 50,000"):
        decode(buffer.getvalue())


def test_heic_without_its_extra_names_the_extra() -> None:
    """A HEIC file is told apart from noise, and the message says what to install."""
    if "HEIF" in formats():
        return
    with pytest.raises(UnsupportedFormat, match=r"pip install pillow-heif"):
        decode(b"\0\0\0\x18ftypheic" + bytes(32))
