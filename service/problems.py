"""Errors as RFC 9457 problem documents."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from models.errors import CroftError
from service.errors import (
    INTERNAL,
    TABLE,
    Draining,
    Unauthorized,
    Unavailable,
    UnknownRoute,
    wire,
)
from service.uploads import pass_body

MEDIA_TYPE: Final = "application/problem+json"
_UNREAD_SECONDS: Final = 1.0


def problem_response(
    error: Exception, *, path: str, request_id: str, extra: Mapping[str, Any] | None = None
) -> Response:
    """Return the response for an error."""
    body = problem_fields(error, path=path, request_id=request_id)
    return Response(
        to_json({**body, **(extra or {})}),
        status_code=body["status"],
        headers=_headers(error),
        media_type=MEDIA_TYPE,
    )


def problem_fields(error: Exception, *, path: str, request_id: str) -> dict[str, Any]:
    """Return the fields of a ``service.schemas.Problem``; making one would only validate them.

    Of an internal error they tell nothing but the request id.
    """
    sent = wire(error)
    detail = str(error) if sent is not INTERNAL else _internal_detail(request_id)
    return {
        "type": sent.type,
        "title": sent.title,
        "status": sent.status,
        "detail": detail,
        "instance": path,
        "request_id": request_id,
        "error": detail,
    }


def _headers(error: Exception) -> dict[str, str]:
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Unavailable) else {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


async def answer_problem(
    request: Request, error: Exception, *, extra: Mapping[str, Any] | None = None
) -> Response:
    """Turn an error raised in a route into its response, and note it for the log."""
    record = request.state.record
    record.note_problem(error)
    response = problem_response(
        error, path=request.scope["path"], request_id=record.request_id, extra=extra
    )
    # A later request on this connection would find nobody.
    if isinstance(error, Draining) and await _read_to_its_end(request):
        response.headers["Connection"] = "close"
    return response


async def _read_to_its_end(request: Request) -> bool:
    """Throw away what is still being sent, within reason; say whether that was all.

    A connection that is closed with data unread is reset, and the answer is lost with it.
    """
    try:
        async with asyncio.timeout(_UNREAD_SECONDS):
            await pass_body(request, lambda _: None)
    except (TimeoutError, CroftError):
        return False
    return True


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of a route that can give these errors."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": "; ".join(_titles(status)),
            "content": {MEDIA_TYPE: {"schema": schema}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in statuses
    }


_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "Seconds after which it is worth trying again.",
        "schema": {"type": "integer"},
    }
}
_CHALLENGE: Final = {
    "WWW-Authenticate": {"description": "How a key is sent.", "schema": {"const": "Bearer"}}
}
_HEADERS: Final = {401: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}


def _titles(status: int) -> list[str]:
    """Say what a status means of a route that exists."""
    rows = [row for error, row in TABLE.items() if error is not UnknownRoute]
    return [row.title for row in (*rows, INTERNAL) if row.status == status]


def _internal_detail(request_id: str) -> str:
    return (
        f"Something went wrong inside the service; the image may be fine. Try again, and quote "
        f"request id {request_id} if it happens twice."
    )
