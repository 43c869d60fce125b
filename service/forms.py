"""multipart/form-data into memory: the body limit bounds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import BadRequest

MAX_PARTS: Final = 16
_MAX_HEADER_BYTES: Final = 8192


class TooManyParts(BadRequest):
    """The form has more parts than its reader takes."""


@dataclass(slots=True)
class Part:
    """One field of a form."""

    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


def parse_form(body: bytes, content_type: str) -> list[Part]:
    """Return the parts of a form.

    Raises:
        BadRequest: not a complete form.
    """
    form = FormReader(content_type, max_parts=MAX_PARTS)
    form.write(body)
    return form.close()


class FormReader:
    """Reads a form piece by piece, so that its body need not be kept beside its parts."""

    def __init__(self, content_type: str, *, max_parts: int) -> None:
        """Begin a form.

        Raises:
            BadRequest: the type lacks the boundary.
        """
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise BadRequest("The Content-Type multipart/form-data lacks its boundary.")
        self._collector = collector = _Collector(max_parts)
        with _malformed():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": collector.begin,
                    "on_header_field": collector.header_field,
                    "on_header_value": collector.header_value,
                    "on_header_end": collector.header_end,
                    "on_headers_finished": collector.headers_finished,
                    "on_part_data": collector.part_data,
                    "on_end": collector.end,
                },
            )

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            BadRequest: malformed, or too many parts.
        """
        with _malformed():
            self._parser.write(piece)

    def close(self) -> list[Part]:
        """Return the parts.

        Raises:
            BadRequest: the form ends too early.
        """
        with _malformed():
            self._parser.finalize()
        if not self._collector.complete:
            raise BadRequest("The multipart body ends before its closing boundary.")
        return self._collector.parts


@contextmanager
def _malformed() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise BadRequest(f"The multipart body is malformed: {error}.") from error


class _Collector:
    """Gathers what the parser calls out."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[Part] = []
        self.complete = False
        self._max_parts = max_parts
        self._field = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def begin(self) -> None:
        if len(self.parts) == self._max_parts:
            raise TooManyParts(f"The form has more than {self._max_parts} parts; send one image.")
        self.parts.append(Part())
        self._disposition = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._limit_headers()

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._limit_headers()

    def _limit_headers(self) -> None:
        if len(self._field) + len(self._value) > _MAX_HEADER_BYTES:
            raise BadRequest(f"A part of the form has a header over {_MAX_HEADER_BYTES:,} bytes.")

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"name" not in options:
            raise BadRequest("A part of the form has no name (Content-Disposition: ...; name=).")
        self.parts[-1].name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            self.parts[-1].filename = options[b"filename"].decode("utf-8", "replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += data[start:end]

    def end(self) -> None:
        self.complete = True
