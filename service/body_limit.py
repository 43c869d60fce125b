"""How many bytes a body may have, how many it has at most, and how long it may take."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.deadline import Deadline
from service.errors import BodyTooLarge, DeadlineExceeded, too_long
from service.middleware import RequestRecord


class BodyLimitMiddleware:
    """Refuses a body that is too large: by its declared length, or as soon as it has come in.

    A body that stops on its way, or is not there at the request's deadline, is given up, for it
    holds a place that others could use.
    """

    def __init__(self, app: ASGIApp, *, limit: int, batch_limit: int, pause: float) -> None:
        """Wrap an application.

        Args:
            app: what reads the bodies.
            limit: bytes of a body.
            batch_limit: the same where many images come in one body.
            pause: seconds for which no byte may come.
        """
        self._app = app
        self._pause = pause
        self._limit = limit
        self._batch_limit = batch_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record: RequestRecord = scope["state"]["record"]
        declared = declared_length(record.headers)
        many = record.rule.many_images
        limit = self._batch_limit if many else self._limit

        async def receive_limited() -> Message:
            if declared is not None and declared > limit:
                raise _too_large(f"{declared:,}", limit, many=many)
            # Of a small image all has come by now, and a timer would cost more than the rest.
            wait = record.body_left and record.sender.sending
            message = await (self._before_long(receive, record.deadline) if wait else receive())
            if message["type"] == "http.request":
                record.body_left = message.get("more_body", False)
            record.bytes_in += len(message.get("body", b""))
            if record.bytes_in > limit:
                raise _too_large(f"more than {limit:,}", limit, many=many)
            return message

        await self._app(scope, receive_limited, send)

    async def _before_long(self, receive: Receive, deadline: Deadline | None) -> Message:
        """Wait until the pause is too long or the deadline has passed, whichever is first."""
        seconds = self._pause if deadline is None else min(self._pause, deadline.left)
        try:
            async with asyncio.timeout(seconds):
                return await receive()
        except TimeoutError as error:
            if deadline is not None and seconds < self._pause:
                raise deadline.exceeded("while its body was uploaded") from error
            raise DeadlineExceeded(
                f"No byte of the body came for {seconds:g} s (CROFT_UPLOAD_PAUSE_SECONDS). Send it "
                "again without a pause."
            ) from error


def _too_large(given: str, limit: int, *, many: bool) -> BodyTooLarge:
    what = f"The body has {given} bytes"
    if not many:
        return too_long(what, limit=limit)
    return BodyTooLarge(
        f"{what}; at most {limit:,} are read (CROFT_MAX_BATCH_BYTES). Send fewer images at a time."
    )


def declared_length(headers: Mapping[str, str]) -> int | None:
    """Return Content-Length, None if the body is chunked."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def most_bytes(headers: Mapping[str, str], *, limit: int) -> int:
    """Return how many bytes a body has at most, as far as is known before it is read."""
    declared = declared_length(headers)
    return limit if declared is None else min(limit, declared)
