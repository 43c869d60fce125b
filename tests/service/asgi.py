"""A client that talks to an application message by message."""

import asyncio
from typing import Any

from fastapi import FastAPI

from service.sender import KEY, Sender


class Call:
    """One POST request: it uploads, reads and leaves when it likes."""

    def __init__(
        self,
        app: FastAPI,
        path: str,
        body: bytes,
        *,
        first: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Begin, and send the first so many bytes of the body, all of it if not told."""
        self.sent: list[dict[str, Any]] = []
        """What the application sent."""
        self.read = asyncio.Event()
        """Set: the client reads; cleared: what is sent does not get away."""
        self.read.set()
        self._sender = Sender()
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._rest = body
        self.upload(first)
        given = {"content-length": str(len(body)), **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {KEY: self._sender},
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    def upload(self, size: int | None = None) -> None:
        """Send so many of the bytes that are left, all of them if not told."""
        size = len(self._rest) if size is None else size
        part, self._rest = self._rest[:size], self._rest[size:]
        self._messages.put_nowait(
            {"type": "http.request", "body": part, "more_body": bool(self._rest)}
        )

    def leave(self) -> None:
        """Close the connection."""
        self._sender.leave()
        self._messages.put_nowait({"type": "http.disconnect"})

    @property
    def unread(self) -> bool:
        """Whether the application has left something that was uploaded."""
        return not self._messages.empty()

    @property
    def status(self) -> int:
        """The status, once there is one."""
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers, once there are some."""
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        """What has arrived of the body."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    async def _receive(self) -> dict[str, Any]:
        if self._sender.gone and not self.unread:
            return {"type": "http.disconnect"}
        return await self._messages.get()

    async def _send(self, message: Any) -> None:
        await self.read.wait()
        self.sent.append(message)
