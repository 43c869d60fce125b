"""The files in a zip archive that a stranger sent: nothing in it is believed."""

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Final

from models.errors import CroftError, Undecodable
from service.errors import BadRequest, BodyTooLarge, too_long

_ENTRY: Final = b"PK\x01\x02"
"""Begins each entry of the directory at the end of a zip file."""
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those whose output can be bounded while it is made; bzip2's and LZMA's cannot."""
_ENCRYPTED: Final = 0x1
_LEADS_OUT: Final = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
"""What begins an absolute name, or a name with ``..`` as one of its parts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveLimits:
    """How much may be in an archive."""

    files: int
    """Files; as many directories may come with them."""
    file_bytes: int
    """Unpacked bytes of a file."""
    total_bytes: int
    """Unpacked bytes of all files together."""


class Archive:
    """A zip file in memory; entries are unpacked one by one, when they are asked for."""

    def __init__(self, data: bytes, *, limits: ArchiveLimits) -> None:
        """Read the directory.

        Raises:
            BadRequest: not a zip file, or a damaged one.
            BodyTooLarge: it has too many entries, or its files would be too large together.
        """
        # Before a body full of them becomes a million objects.
        most = 2 * limits.files
        if (entries := data.count(_ENTRY)) > most:
            raise BodyTooLarge(
                f"The zip file has about {entries:,} entries; at most {limits.files:,} files and "
                "as many directories are read. Send several smaller ones."
            )
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except Exception as error:  # zipfile has no base class for all that a bad one can raise
            raise BadRequest(f"The body is not a zip file that can be read: {error}.") from error
        self._limits = limits
        self.files = [info for info in self._zip.infolist() if not info.is_dir()]
        total = sum(info.file_size for info in self.files)
        if total > limits.total_bytes:
            raise BodyTooLarge(
                f"The zip file unpacks to {total:,} bytes; at most {limits.total_bytes:,} are "
                "taken from one (4 times CROFT_MAX_BATCH_BYTES). Send several smaller ones."
            )

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Unpack one file, no further than it claims to be large, which is within the limits.

        Raises:
            BadRequest: a name that leads out of the archive, or packed in a way that is not read.
            BodyTooLarge: it is larger than allowed.
            Undecodable: it is damaged.
        """
        _check_name(info.filename)
        _check_method(info)
        if info.file_size > self._limits.file_bytes:
            what = f"The file has {info.file_size:,} bytes unpacked"
            raise too_long(what, limit=self._limits.file_bytes)
        try:
            with self._zip.open(info) as file:
                # One more than it claims to be: to its end, where the checksum is compared.
                return file.read(info.file_size + 1)
        except Exception as error:  # as above; it is this file's trouble, and nobody else's
            raise _damaged(error) from error


def _check_name(name: str) -> None:
    if _LEADS_OUT.match(name):
        raise BadRequest(
            f"The file's name {name[:100]!r} leads out of the archive; names must be relative and "
            "without `..`."
        )


def _check_method(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise BadRequest("The file is encrypted. Pack it without a password.")
    if info.compress_type not in _METHODS:
        raise BadRequest(
            f"The file is packed by method {info.compress_type}; only 0 (store) and 8 (deflate) "
            "are read."
        )


def _damaged(error: Exception) -> CroftError:
    return Undecodable(f"The file is damaged in the zip archive: {str(error)[:200]}.")
