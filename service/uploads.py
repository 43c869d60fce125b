"""The image file out of a request's body: raw, multipart, or JSON."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request

from service.base64_text import decode_base64
from service.errors import BadRequest, ClientGone, UnsupportedMedia
from service.forms import parse_form
from service.json_body import read_json

FIELD: Final = "file"
RAW: Final = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""Taken as the image itself, like ``image/*``; the second is what ``curl --data-binary`` says."""
_MAX_COMMAS: Final = 1000
_FORMS: Final = (
    "Send the image as the body (Content-Type: image/jpeg or another image type), as the field "
    f"`{FIELD}` of multipart/form-data, or as JSON "
    '{"image": {"b64": "..."}}.'
)


async def read_image(request: Request) -> bytes:
    """Return the bytes of the one image file that a request carries.

    Raises:
        BadRequest: malformed, or without an image.
        BodyTooLarge: JSON of too many members.
        UnsupportedMedia: a content type or coding that is none of the three forms.
        ClientGone: the sender left before the end of the body.
    """
    headers = request.state.record.headers
    check_unencoded(headers)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in RAW:
        return await read_body(request)
    if kind == "multipart/form-data":
        return _from_form(await read_body(request), headers["content-type"])
    if kind == "application/json":
        return _from_json(await read_body(request))
    raise UnsupportedMedia(f"Content-Type {kind[:100]!r} holds no image. {_FORMS}")


def check_unencoded(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedMedia if the body is compressed."""
    coding = headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise UnsupportedMedia(f"Content-Encoding {coding[:50]!r} is not read. Send it unencoded.")


async def read_body(request: Request) -> bytes:
    """Return the body, which the request then does not keep.

    Raises:
        ClientGone: the sender left before its end.
    """
    pieces: list[bytes] = []
    await pass_body(request, pieces.append)
    return b"".join(pieces)


async def pass_body(request: Request, take: Callable[[bytes], None]) -> None:
    """Hand over the body piece by piece, as it comes.

    Raises:
        ClientGone: the sender left before its end.
    """
    record = request.state.record
    while record.body_left:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client left during the upload.")
        take(message.get("body", b""))


def _from_form(body: bytes, content_type: str) -> bytes:
    parts = parse_form(body, content_type)
    files = [part for part in parts if part.name == FIELD]
    if not files:
        given = ", ".join(repr(part.name[:50]) for part in parts) or "none"
        raise BadRequest(f"The form has no field `{FIELD}`; its fields: {given}. {_FORMS}")
    if len(files) > 1:
        raise BadRequest(f"The form has {len(files)} fields `{FIELD}`; send one image a request.")
    if files[0].filename is None:
        raise BadRequest(f"The field `{FIELD}` is text and not a file: give it a filename.")
    return bytes(files[0].data)


def _from_json(body: bytes) -> bytes:
    content = read_json(body, most_commas=_MAX_COMMAS, hint=_FORMS)
    return decode_base64(_b64_member(content), what="image.b64")


def _b64_member(content: Any) -> str:
    image = content.get("image") if isinstance(content, dict) else None
    text = image.get("b64") if isinstance(image, dict) else None
    if not isinstance(text, str):
        raise BadRequest(
            'The JSON body must be {"image": {"b64": "<base64 of the image file>"}}. '
            "Images are never fetched from a URL."
        )
    return text
