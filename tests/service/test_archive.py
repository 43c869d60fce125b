"""A zip file from a stranger: bombs, wrong names and broken entries harm nobody but themselves."""

import io
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable

import pytest

from models.errors import CroftError, Undecodable
from service.archive import Archive, ArchiveLimits
from service.errors import BadRequest, BodyTooLarge

MIB = 2**20
LIMITS = ArchiveLimits(files=10, file_bytes=MIB, total_bytes=4 * MIB)


def zip_of(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of these names and contents; names may repeat."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return buffer.getvalue()


def _read_all(data: bytes, limits: ArchiveLimits = LIMITS) -> list[bytes | type[Exception]]:
    archive = Archive(data, limits=limits)
    results: list[bytes | type[Exception]] = []
    for info in archive.files:
        try:
            results.append(archive.read(info))
        except CroftError as error:
            results.append(type(error))
    return results


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_out_in_order(method: int) -> None:
    """Directories are passed over; names may repeat, for an index tells files apart."""
    data = zip_of(
        ("a/", b""), ("a/1.jpg", b"one"), ("2.jpg", b"two"), ("2.jpg", b"2"), method=method
    )
    archive = Archive(data, limits=LIMITS)
    assert [info.filename for info in archive.files] == ["a/1.jpg", "2.jpg", "2.jpg"]
    assert [archive.read(info) for info in archive.files] == [b"one", b"two", b"2"]


@pytest.mark.parametrize(
    "name",
    ["/etc/x.jpg", "../x.jpg", "a/../../x.jpg", "a/..", "\\x.jpg", "a\\..\\x.jpg", "C:\\x.jpg"],
)
def test_names_that_lead_out_are_refused(name: str) -> None:
    """Absolute names and ``..``, in both spellings; the neighbour is read."""
    data = zip_of((name, b"x"), ("fine.jpg", b"fine"))
    assert _read_all(data) == [BadRequest, b"fine"]


@pytest.mark.parametrize("name", ["..x.jpg", "a..b/c.jpg", "x...jpg", "12:30.jpg", "ä/ö.jpg"])
def test_odd_names_are_read(name: str) -> None:
    """Dots, colons and letters of any alphabet within a name are no harm."""
    assert _read_all(zip_of((name, b"x"))) == [b"x"]


def test_other_ways_of_packing_are_refused_alone() -> None:
    """Output of bzip2 and LZMA cannot be bounded while it is made, so it is not made."""
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO(zip_of(("fine.jpg", b"fine")))
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("x.jpg", b"x" * 100, compress_type=method)
        assert _read_all(buffer.getvalue()) == [b"fine", BadRequest]


def _patched(data: bytes, *, name: str, offset: int, value: bytes) -> bytes:
    """Overwrite a field in the directory entry of a file; offsets as in the format's notes."""
    position = data.index(b"PK\x01\x02")
    while not data[position + 46 :].startswith(name.encode()):
        position = data.index(b"PK\x01\x02", position + 1)
    at = position + offset
    return data[:at] + value + data[at + len(value) :]


FLAGS, CRC, FILE_SIZE = 8, 16, 24


def test_an_encrypted_file_is_refused_alone() -> None:
    """The flag is enough; nobody asks for a password."""
    data = zip_of(("a.jpg", b"a"), ("b.jpg", b"b"))
    assert _read_all(_patched(data, name="a.jpg", offset=FLAGS, value=b"\1\0")) == [
        BadRequest,
        b"b",
    ]


def test_a_damaged_file_is_its_own_trouble() -> None:
    """A wrong checksum, and content that is no deflate stream: the neighbours are read."""
    data = zip_of(("a.jpg", b"a" * 100), ("b.jpg", b"b"))
    assert _read_all(_patched(data, name="a.jpg", offset=CRC, value=b"junk")) == [Undecodable, b"b"]
    content = data.index(b"a.jpg") + 5
    junk = data[:content] + b"\xff" * 3 + data[content + 3 :]
    assert _read_all(junk) == [Undecodable, b"b"]


def test_a_size_in_the_header_is_not_believed() -> None:
    """One that claims ten bytes and holds ten megabytes is damaged, and costs ten bytes."""
    data = zip_of(("a.jpg", b"\0" * (10 * MIB)), ("b.jpg", b"b"))
    lying = _patched(data, name="a.jpg", offset=FILE_SIZE, value=struct.pack("<I", 10))
    assert _peak(lambda: _check(lying, [Undecodable, b"b"])) < MIB


def test_a_file_over_the_limit_is_refused_alone() -> None:
    """By the size that it claims, before anything is unpacked."""
    data = zip_of(("a.jpg", b"\0" * (MIB + 1)), ("b.jpg", b"\0" * MIB))
    assert _read_all(data) == [BodyTooLarge, b"\0" * MIB]


def _check(data: bytes, expected: list[bytes | type[Exception]]) -> None:
    assert _read_all(data) == expected


def _peak(action: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _bomb(files: int, *, unpacked: int) -> bytes:
    """Return a zip file whose entries all name one and the same packed content, as bombs do."""
    single = zip_of(("a", b"\0" * unpacked))
    at = single.index(b"PK\x01\x02")
    directory = single[at : single.index(b"PK\x05\x06")]
    count = files % 2**16  # nobody believes it
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory) * files, at, 0)
    return single[:at] + directory * files + end


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    """Ten files of a megabyte in a few kilobytes: more together than may be unpacked."""
    data = _bomb(10, unpacked=MIB)
    assert len(data) < 4096

    def refused() -> None:
        with pytest.raises(BodyTooLarge, match=r"unpacks to 10,485,760 bytes; at most 4,194,304"):
            Archive(data, limits=LIMITS)

    assert _peak(refused) < MIB // 4


def test_zips_in_zips_are_not_opened() -> None:
    """Like 42.zip: what lies inside is a file like any other, and no image."""
    inner = zip_of(*((f"{i}.jpg", b"\0" * MIB) for i in range(10)))
    data = zip_of(*((f"{i}.zip", inner) for i in range(5)))
    assert _peak(lambda: _check(data, [inner] * 5)) < MIB


def test_a_directory_of_a_million_entries_is_refused_before_it_is_read() -> None:
    """Entries are counted in the bytes: a body full of them never becomes objects."""
    data = _bomb(100_000, unpacked=1)

    def refused() -> None:
        with pytest.raises(BodyTooLarge, match=r"about 100,000 entries; at most 10 files"):
            Archive(data, limits=LIMITS)

    assert _peak(refused) < MIB // 4


BROKEN = {
    "empty": b"",
    "no zip": b"hello",
    "cut": zip_of(("a.jpg", b"a" * 100))[:-30],
    "only an end": b"PK\x05\x06" + b"\xff" * 18,
    "name": _patched(zip_of(("ä.jpg", b"a")), name="ä", offset=46, value=b"\xff"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_archive_is_refused_as_a_whole(data: bytes) -> None:
    """No directory, half a directory, or one that contradicts itself."""
    with pytest.raises(BadRequest, match="not a zip file that can be read"):
        Archive(data, limits=LIMITS)


def test_any_damage_is_an_error_of_ours() -> None:
    """Every byte of a small archive, flipped one by one, gives files or a CroftError."""
    data = zip_of(("a.jpg", b"a" * 50), ("b/", b""), ("c.jpg", zlib.compress(b"c" * 50)))
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        try:
            _read_all(bytes(broken))
        except CroftError:
            continue
