"""The images out of a batch's body: a form of many files, a zip archive, or a JSON list."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from starlette.requests import Request

from service.archive import Archive, ArchiveLimits
from service.base64_text import decode_base64
from service.errors import BadRequest, BodyTooLarge, UnsupportedMedia, too_long
from service.forms import FormReader, Part, TooManyParts
from service.json_body import read_json
from service.settings import Settings
from service.uploads import FIELD, check_unencoded, pass_body, read_body

ZIP: Final = "application/zip"
UNPACKED: Final = 4
"""A zip file may unpack to so many times the largest body."""
MAX_NAME: Final = 255
"""Characters of a name or id that are given back."""
_SPARE_PARTS: Final = 16
"""Other fields that a form may have beside its images."""
_COMMAS: Final = 8
"""Commas that an image may cost in JSON: between its two members, after it, in its id."""
_FORMS: Final = (
    f"Send the images as fields `{FIELD}` of multipart/form-data, as a zip file "
    f'({ZIP}), or as JSON {{"images": [{{"b64": "...", "id": "..."}}, ...]}}.'
)


@dataclass(frozen=True, slots=True)
class BatchImage:
    """One image of a batch."""

    name: str | None
    """What its sender calls it."""
    size: int
    """Bytes that ``load`` returns at most."""
    load: Callable[[], bytes]
    """Returns the image file; raises a CroftError about this image alone. Takes its time."""


async def read_batch(request: Request, *, settings: Settings) -> Sequence[BatchImage]:
    """Return the images that a request carries, at least one.

    Raises:
        BadRequest: malformed, or without images.
        BodyTooLarge: too many images, or a zip file that unpacks to too much.
        UnsupportedMedia: a content type or coding that is none of the three forms.
        ClientGone: the sender left before the end of the body.
    """
    check_unencoded(request.headers)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        images = await _from_form(request, settings)
    elif kind == ZIP:
        images = await asyncio.to_thread(_from_zip, await read_body(request), settings)
    elif kind == "application/json":
        images = _from_json(await read_body(request), settings)
    else:
        raise UnsupportedMedia(f"Content-Type {kind[:100]!r} holds no batch. {_FORMS}")
    if not images:
        raise BadRequest(f"The batch has no image. {_FORMS}")
    if len(images) > settings.max_batch_images:
        raise _too_many(f"{len(images):,}", settings)
    return images


def _too_many(given: str, settings: Settings) -> BodyTooLarge:
    return BodyTooLarge(
        f"The batch has {given} images; at most {settings.max_batch_images:,} are taken "
        "(CROFT_MAX_BATCH_IMAGES). Send fewer images at a time."
    )


async def _from_form(request: Request, settings: Settings) -> list[BatchImage]:
    parts = settings.max_batch_images + _SPARE_PARTS
    form = FormReader(request.headers["content-type"], max_parts=parts)
    try:
        await pass_body(request, form.write)
    except TooManyParts as error:
        raise _too_many(f"more than {settings.max_batch_images:,}", settings) from error
    files = [part for part in form.close() if part.name == FIELD]
    if any(part.filename is None for part in files):
        raise BadRequest(f"A field `{FIELD}` is text and not a file: give it a filename.")
    limit = settings.max_body_bytes
    return [
        BatchImage(_name(part.filename), min(limit, len(part.data)), partial(_copy, part, limit))
        for part in files
    ]


def _from_zip(body: bytes, settings: Settings) -> list[BatchImage]:
    limits = ArchiveLimits(
        files=settings.max_batch_images,
        file_bytes=settings.max_body_bytes,
        total_bytes=UNPACKED * settings.max_batch_bytes,
    )
    archive = Archive(body, limits=limits)
    return [
        BatchImage(
            _name(info.filename),
            min(limits.file_bytes, info.file_size),
            partial(archive.read, info),
        )
        for info in archive.files
    ]


def _from_json(body: bytes, settings: Settings) -> list[BatchImage]:
    content = read_json(body, most_commas=_COMMAS * settings.max_batch_images, hint=_FORMS)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise BadRequest(
            'The JSON body must be {"images": [{"b64": "<base64 of the image file>", "id": '
            '"<optional, yours>"}, ...]}. Images are never fetched from a URL.'
        )
    return [_json_image(i, image, settings.max_body_bytes) for i, image in enumerate(images)]


def _json_image(index: int, image: Any, limit: int) -> BatchImage:
    """Return an image whose faults, if any, are told when it is loaded."""
    members = image if isinstance(image, dict) else {}
    name, text = members.get("id"), members.get("b64")
    field = f"images[{index}].b64"
    if not isinstance(text, str):
        return BatchImage(None, 0, partial(_refuse, f"`{field}` is not given as a string."))
    if name is not None and not isinstance(name, str):
        return BatchImage(None, 0, partial(_refuse, f"`images[{index}].id` is not a string."))
    size = min(limit, len(text) * 3 // 4)
    return BatchImage(_name(name), size, partial(_decode, text, field, limit))


def _copy(part: Part, limit: int) -> bytes:
    return _limited(bytes(part.data), limit)


def _decode(text: str, field: str, limit: int) -> bytes:
    return _limited(decode_base64(text, what=field), limit)


def _refuse(why: str) -> bytes:
    raise BadRequest(why)


def _limited(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise too_long(f"The image has {len(data):,} bytes", limit=limit)
    return data


def _name(given: str | None) -> str | None:
    """Return a name that can be sent back: not endless, and without half characters."""
    return given and given[:MAX_NAME].encode("utf-8", "replace").decode()
