"""What an image file may be made of, so that few bytes cannot keep a decoder busy for minutes.

Pillow goes through headers in Python, by reads of a few bytes; libjpeg goes over the whole picture
once for each scan. The limits are far above what cameras and encoders write.
"""

import io
import re
import struct
from typing import Final

from PIL.ImageFile import ImageFile

from models.errors import Undecodable

MAX_READS: Final = 200_000
"""How often Pillow may read from a file. A PNG in chunks of 8 KiB takes three for each of them."""
MAX_SCANS: Final = 100
"""Of a small JPEG. libtiff has this limit for a JPEG in a TIFF."""
USUAL_SCANS: Final = 20
"""Of a JPEG of any size: progressive ones have about ten, in CMYK 18."""
MAX_SCANNED: Final = 1_000_000_000
"""Pixels times scans: one of a few bytes may take a tenth of a second for 50 megapixels."""
MAX_SEGMENTS: Final = 10_000
"""How far a JPEG that seems to have so many is followed."""
MAX_PROFILES: Final = 10
"""Colour profiles of a PNG, which should have one: each may unpack to a megabyte."""
MAX_RLE_PIXELS: Final = 1_048_576
MAX_RLE_WIDTH: Final = 8192
"""Of a run-length encoded BMP, which Pillow unpacks in Python."""
MAX_ENTRIES: Final = 1000
"""Of a TIFF's first directory; usual are 10 to 60."""
MAX_STRIPS: Final = 65_536
"""Strips or tiles of a TIFF, of which Pillow makes a list; usual is 8 KiB for each."""


class _Reads(io.BytesIO):
    """The bytes of a file, to be read so often and no more."""

    _left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _too_many("markers, chunks or blocks", MAX_READS)
        return super().read(size)


def guarded(data: bytes) -> io.BytesIO:
    """Return a file of these bytes for Pillow to open.

    Args:
        data: the bytes of an image file, of any format or of none.

    Raises:
        Undecodable: so says what there is too much of, and how much is allowed; also when the
            file is read later on.
    """
    if data.startswith((b"II", b"MM")):
        _check_tiff(data)
    elif data.startswith(b"BM"):
        _check_bmp(data)
    elif data.startswith(b"\x89PNG") and data.count(b"iCCP") > MAX_PROFILES:
        raise _too_many("colour profiles", MAX_PROFILES)
    # Counting costs time, and so short a file cannot be read so often.
    return io.BytesIO(data) if len(data) <= MAX_READS else _Reads(data)


def check_opened(image: ImageFile, data: bytes, *, max_pixels: int) -> None:
    """Refuse what only the opened image tells.

    Args:
        image: opened from ``data``, and not loaded.
        data: the bytes of its file.
        max_pixels: the largest tile of a TIFF; one is decoded whole, however small the picture.

    Raises:
        Undecodable: says what there is too much of, and how much is allowed.
    """
    if image.format in ("JPEG", "MPO"):
        _check_jpeg(image, data)
    elif image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0) > max_pixels:
            raise _too_many("pixels in a tile", max_pixels)


def _too_many(what: str, allowed: int) -> Undecodable:
    return Undecodable(
        f"The file has more than {allowed:,} {what}; no more are read. Save it again from its "
        "source."
    )


_MARKER: Final = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""A marker with a length after it, or the end: no escaped FF, no restart."""
_SCAN: Final = 0xDA
_END: Final = 0xD9


def _check_jpeg(image: ImageFile, data: bytes) -> None:
    if image.format == "JPEG" and _has_one_scan(image, data):
        return
    # Quick, but too high: notes, or a film behind the picture, have these bytes by chance.
    width, height = image.size
    allowed = min(MAX_SCANS, max(USUAL_SCANS, MAX_SCANNED // (width * height)))
    if data.count(b"\xff\xda") > allowed and _has_more_scans(data, allowed):
        raise _too_many("scans", allowed)


def _has_one_scan(image: ImageFile, data: bytes) -> bool:
    """Say whether libjpeg stops after the first scan, whose head Pillow has just read."""
    layers = image.layers  # type: ignore[attr-defined]
    head = bytes((0xFF, _SCAN, 0, 6 + 2 * layers, layers))
    assert image.fp is not None
    begin = image.fp.tell() - 2 * layers - 3 - len(head)
    return "progressive" not in image.info and data.startswith(head, begin)


def _has_more_scans(data: bytes, allowed: int) -> bool:
    """Go from segment to segment until the end of the picture."""
    at, scans = 2, 0
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None or data[marker.start() + 1] == _END:
            return False
        scans += data[marker.start() + 1] == _SCAN
        if scans > allowed:
            return True
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2]))
    return True


_BMP: Final = struct.Struct("<ii4xI")
"""Width, height and compression, from byte 18 on."""
_RLE: Final = (1, 2)


def _check_bmp(data: bytes) -> None:
    if len(data) < 18 + _BMP.size or data[14] == 12:  # of OS/2, which has no compression
        return
    width, height, compression = _BMP.unpack_from(data, 18)
    if compression not in _RLE:
        return
    if abs(width) > MAX_RLE_WIDTH:
        raise _too_many("run-length encoded pixels in a row", MAX_RLE_WIDTH)
    if abs(width * height) > MAX_RLE_PIXELS:
        raise _too_many("run-length encoded pixels", MAX_RLE_PIXELS)


_STRIPS: Final = (273, 324)
"""Where the strips lie, where the tiles lie."""
_TILE_WIDTH: Final = 322
_TILE_LENGTH: Final = 323


def _check_tiff(data: bytes) -> None:
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    where, number, entry = ("8xQ", "Q", "HHQ8x") if big else ("4xI", "H", "HHI4x")
    try:
        (begin,) = struct.unpack_from(order + where, data)
        (entries,) = struct.unpack_from(order + number, data, begin)
    except struct.error:  # not a whole TIFF
        return
    if entries > MAX_ENTRIES:
        raise _too_many("entries in its directory", MAX_ENTRIES)
    each = struct.Struct(order + entry)
    begin += struct.calcsize(number)
    for at in range(begin, min(begin + entries * each.size, len(data) - each.size + 1), each.size):
        tag, _, count = each.unpack_from(data, at)
        if tag in _STRIPS and count > MAX_STRIPS:
            raise _too_many("strips or tiles", MAX_STRIPS)
