"""models.structure: small files that would keep a decoder busy, and large ones that may."""

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.decode import decode
from models.errors import Undecodable
from models.structure import USUAL_SCANS
from tests.helpers import make_image, picture

REFUSED = r"The file has more than {}; no more are read\. Save it again from its source\."


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def _refused(data: bytes, what: str) -> None:
    with pytest.raises(Undecodable, match=REFUSED.format(what)):
        decode(data)


def _progressive(scans: int, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a grey progressive JPEG whose last scan is there as often as it takes."""
    data = _saved(Image.new("L", size), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (scans - data.count(b"\xff\xda") + 1) + data[-2:]


def test_a_jpeg_of_many_scans() -> None:
    """Each goes over the whole picture: a hundred are read, one more is not."""
    assert decode(_progressive(100)).size == (64, 48)
    _refused(_progressive(101), "100 scans")
    _refused(_progressive(13_000), "100 scans")


def test_a_large_jpeg_has_fewer_scans() -> None:
    """Their number times the pixels is what they cost: 20 in a picture of 50 megapixels."""
    _refused(_progressive(21, size=(7000, 7000)), "20 scans")
    _refused(_progressive(41, size=(5000, 5000)), "40 scans")


def test_a_jpeg_of_all_layers_may_be_progressive() -> None:
    """CMYK has the most scans that encoders write by themselves, also if it is large."""
    image = Image.new("CMYK", (1500, 1500))
    data = _saved(image, "JPEG", progressive=True)
    assert 10 < data.count(b"\xff\xda") <= USUAL_SCANS
    assert decode(data).size == (1500, 1500)


def test_a_jpeg_of_many_scans_that_begins_as_one_of_several_images() -> None:
    """An MPO, as stereo cameras write it, is a JPEG with others behind it."""
    pair = _saved(picture(), "MPO", save_all=True, append_images=[picture(seed=1)])
    assert decode(pair).size == (64, 48)
    scan = pair.index(b"\xff\xda")
    end = pair.index(b"\xff\xd9", scan)
    _refused(pair[:end] + pair[scan:end] * 100 + pair[end:], "100 scans")


def test_a_sequential_jpeg_whose_layers_come_one_by_one() -> None:
    """Without all layers in its first scan, libjpeg looks for more of them, too."""
    data = _saved(picture(), "JPEG", subsampling=0)
    scan = data.index(b"\xff\xda")
    assert data[scan + 4] == 3
    alone = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + data[scan + 14 : -2]
    _refused(data[:scan] + alone * 101 + data[-2:], "100 scans")


def test_what_looks_like_scans_is_none() -> None:
    """A film behind a photo, and a colour profile in it, have a scan's two bytes by chance."""
    noise = b"\xff\xda" * 1000
    for progressive in (False, True):
        data = _saved(picture(), "JPEG", progressive=progressive, icc_profile=noise)
        assert decode(data + noise).size == (64, 48)


@pytest.mark.parametrize(
    "filling",
    [b"\xff\xe5\0\2" * 250_000, b"\xff" * 1_000_000, b"\0" * 1_000_000, b"\xff\xd9" * 500_000],
    ids=["empty segments", "fill bytes", "zeros", "ends"],
)
def test_a_jpeg_with_much_before_its_pixels(filling: bytes) -> None:
    """Pillow reads byte after byte, and keeps all segments."""
    data = make_image()
    _refused(data[:20] + filling + data[20:], "200,000 markers, chunks or blocks")


def test_a_jpeg_with_some_before_its_pixels() -> None:
    """A thousand segments, or bytes that fill up, are no reason."""
    data = make_image()
    for filling in (b"\xff\xe5\0\2" * 1000, b"\xff" * 1000):
        assert decode(data[:20] + filling + data[20:]).size == (64, 48)


def _chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _png(*, before: bytes = b"", piece: int | None = None) -> bytes:
    """Return a PNG with more chunks before its pixels, or with those in pieces of so many bytes."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8))
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.asarray(image)))
    step = piece or len(pixels)
    parts = (pixels[i : i + step] for i in range(0, len(pixels), step))
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 300, 8, 2, 0, 0, 0))
    data = b"".join(_chunk(b"IDAT", part) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + header + before + data + _chunk(b"IEND", b"")


def test_a_png_of_many_chunks() -> None:
    """Private chunks and empty ones; ten thousand with pixels are what a large PNG may have."""
    _refused(_png(before=_chunk(b"prIv", b"") * 110_000), "200,000 markers, chunks or blocks")
    _refused(_png(before=_chunk(b"IDAT", b"") * 200_000), "200,000 markers, chunks or blocks")
    data = _png(piece=27)
    assert data.count(b"IDAT") > 10_000
    assert decode(data).size == (300, 300)


def test_a_png_of_many_profiles() -> None:
    """Each unpacks to a megabyte; nine thousand of them took a minute."""
    profile = _chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100_000)))
    assert decode(_png(before=profile * 10)).size == (300, 300)
    _refused(_png(before=profile * 11), "10 colour profiles")


@pytest.mark.parametrize(
    "filling",
    [b"!\xfe" + b"\1x" * 500_000 + b"\0", b"!\xfe\1x\0" * 200_000, b"\0" * 1_000_000],
    ids=["one comment", "comments", "zeros"],
)
def test_a_gif_with_much_before_its_first_frame(filling: bytes) -> None:
    """Comments in blocks of a byte, and bytes that are nothing."""
    data = make_image(format="GIF")
    begin = 13 + 3 * (2 << (data[10] & 7))
    _refused(data[:begin] + filling + data[begin:], "200,000 markers, chunks or blocks")


def _rle(width: int, height: int, runs: bytes) -> bytes:
    """Return a BMP with a palette of 256 colours, run-length encoded."""
    begin = 14 + 40 + 1024
    header = (
        struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
        + bytes(range(256)) * 4
    )
    return struct.pack("<2sIHHI", b"BM", begin + len(runs), 0, 0, begin) + header + runs


def test_a_run_length_encoded_bmp() -> None:
    """Pillow fills its rows in Python: a megapixel is read, a row of 50 million is not."""
    assert decode(_rle(100, 50, (b"\x64\7" + b"\0\0") * 50 + b"\0\1")).size == (100, 50)
    _refused(_rle(50_000_000, 1, b"\1\0\0\0\0\1"), "8,192 run-length encoded pixels in a row")
    _refused(_rle(1024, 1025, b"\1\0\0\0\0\1"), "1,048,576 run-length encoded pixels")
    _refused(_rle(1024, -1025, b"\1\0\0\0\0\1"), "1,048,576 run-length encoded pixels")
    _refused(_rle(1000, 1000, b"\0\0" * 200_000), "200,000 markers, chunks or blocks")


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_ordinary_tiffs(big: bool, compression: str | None) -> None:
    """Small and large offsets, as they are and compressed."""
    data = _saved(picture(), "TIFF", big_tiff=big, compression=compression)
    assert decode(data).size == (64, 48)


def _tiff(order: str, *more: tuple[int, int, int, int], height: int = 8) -> bytes:
    """Return a grey TIFF 8 wide, of one strip, with more entries: tag, kind, count, value."""
    fields = [(256, 4, 1, 8), (257, 4, 1, height), (258, 4, 1, 8), (259, 4, 1, 1), (262, 4, 1, 1)]
    taken = {entry[0] for entry in more}
    entries = sorted([entry for entry in fields if entry[0] not in taken] + list(more))
    packed = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IH", 8, len(entries)) + packed + bytes(4 + 400_000)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_many_parts(order: str) -> None:
    """Entries of its directory, strips, tiles: Pillow goes through all of them in Python."""
    assert decode(_tiff(order, (273, 4, 1, 200), (279, 4, 1, 64))).size == (8, 8)
    many = [(tag, 4, 1, 0) for tag in range(1000, 2000)]
    _refused(_tiff(order, *many), "1,000 entries in its directory")
    _refused(_tiff(order, (273, 4, 65_537, 200)), "65,536 strips or tiles")
    _refused(_tiff(order, (324, 4, 65_537, 200)), "65,536 strips or tiles")


def test_a_tile_is_as_large_as_a_picture_may_be() -> None:
    """One is decoded whole, also where the picture is 8 pixels wide."""
    tile = [(322, 4, 1, 10_000), (323, 4, 1, 10_000), (324, 4, 1, 200), (325, 4, 1, 64)]
    _refused(_tiff("<", *tile), "50,000,000 pixels in a tile")


def test_the_message_says_what_to_do() -> None:
    """What there is too much of, how much is allowed, and how to get rid of it."""
    with pytest.raises(Undecodable) as caught:
        decode(_progressive(500))
    assert re.fullmatch(REFUSED.format("100 scans"), str(caught.value))
