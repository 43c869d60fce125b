"""models.decode."""

import io

import pytest
from PIL import Image

from models.decode import decode, formats, media_types
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


def test_exif_orientation_is_applied() -> None:
    """A picture stored on its side comes out upright."""
    assert decode(make_image(size=(40, 30), orientation=6)).size == (30, 40)


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


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A 100-megapixel PNG of a few kilobytes is refused by its header."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, format="PNG")

    with pytest.raises(ImageTooLarge, match=r"10000 x 10000 = 100,000,000 pixels; at most 50,000"):
        decode(buffer.getvalue())


def test_heic_without_its_extra_names_the_extra() -> None:
    """A HEIC file is told apart from noise, and the message says what to install."""
    if "HEIF" in formats():
        assert media_types()["HEIF"] == "image/heic"
        return
    with pytest.raises(UnsupportedFormat, match=r"pip install 'croft-ood\[heif\]'"):
        decode(b"\0\0\0\x18ftypheic" + bytes(32))
