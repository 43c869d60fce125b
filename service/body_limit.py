"""How many bytes a body may have, and how many it has at most."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, too_long
from service.middleware import RequestRecord


class BodyLimitMiddleware:
    """Refuses a body that is too large: by its declared length, or as soon as it has come in."""

    def __init__(self, app: ASGIApp, *, limit: int, batch_limit: int) -> None:
        """``limit``: bytes; ``batch_limit``: where many images come in one body."""
        self._app = app
        self._limit = limit
        self._batch_limit = batch_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record: RequestRecord = scope["state"]["record"]
        declared = declared_length(Headers(scope=scope))
        many = record.rule.many_images
        limit = self._batch_limit if many else self._limit

        async def receive_limited() -> Message:
            if declared is not None and declared > limit:
                raise _too_large(f"{declared:,}", limit, many=many)
            message = await receive()
            record.bytes_in += len(message.get("body", b""))
            if record.bytes_in > limit:
                raise _too_large(f"more than {limit:,}", limit, many=many)
            return message

        await self._app(scope, receive_limited, send)


def _too_large(given: str, limit: int, *, many: bool) -> BodyTooLarge:
    what = f"The body has {given} bytes"
    if not many:
        return too_long(what, limit=limit)
    return BodyTooLarge(
        f"{what}; at most {limit:,} are read (CROFT_MAX_BATCH_BYTES). Send fewer images at a time."
    )


def declared_length(headers: Headers) -> int | None:
    """Return Content-Length, None if the body is chunked."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def most_bytes(headers: Headers, *, limit: int) -> int:
    """Return how many bytes a body has at most, as far as is known before it is read."""
    declared = declared_length(headers)
    return limit if declared is None else min(limit, declared)
