"""Connections, beneath all that knows of requests: how much of a head, how long, and how many.

A connection waits from its beginning, or from its last answer, to its next complete head.
Whoever waits costs a descriptor and gives nothing, so a service that is full closes the
connection that has waited longest. The newest has waited least, and gets to ask.
"""

import asyncio
import logging
import resource
from collections import OrderedDict
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.crowd import Crowd
from service.newcomers import Newcomers
from service.rules import rule_for
from service.sender import KEY, Sender
from service.slow_readers import SlowReaderProtocol

logger = logging.getLogger(__name__)

HEAD_BYTES: Final = 2**16
"""Most bytes of a request line and its headers; of the trailers of a chunked body, too."""
HEAD_SECONDS: Final = 10.0
"""Time for a complete head, from its first byte; and for that, once the connection is made."""
_OTHER_DESCRIPTORS: Final = 64
"""What a process needs beside its connections: files, libraries, pipes, the event loop."""
_TOO_LARGE: Final = b"The head of the request is too large.\n"
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_TOO_LARGE), _TOO_LARGE)
)


def affordable(wanted: int) -> int:
    """Return how many connections the limit of descriptors (``ulimit -n``) leaves room for."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY or wanted <= descriptors - _OTHER_DESCRIPTORS:
        return wanted
    most = max(1, descriptors - _OTHER_DESCRIPTORS)
    logger.warning(
        "only %d of %d connections (CROFT_MAX_CONNECTIONS) will be kept open, since the process "
        "may have no more than %d descriptors (ulimit -n)",
        *(most, wanted, descriptors),
    )
    return most


class Door:
    """What the connections of a process share: their limits, and who waits."""

    def __init__(
        self,
        *,
        most: int,
        keep_alive_seconds: float,
        read_seconds: float,
        crowd: Crowd,
        newcomers: Newcomers,
    ) -> None:
        """Begin with nobody.

        Args:
            most: connections that are open at a time.
            keep_alive_seconds: how long one may wait for its next request.
            read_seconds: how long one may read nothing of its answer.
            crowd: where it is counted who leaves; who takes a connection counts that.
            newcomers: the images that are not begun at once.
        """
        self.most = most
        self.crowd = crowd
        self.newcomers = newcomers
        self.waiting: OrderedDict[Connection, float] = OrderedDict()
        """Until when one may be silent, by the event loop's clock; the longest waiting first."""
        self.keep_alive_seconds = keep_alive_seconds
        self._read_seconds = read_seconds
        self._closed = 0

    def protocol(self, **given: Any) -> asyncio.Protocol:
        """Return what talks to a new connection; uvicorn gives the arguments."""
        return Connection(self, patience=self._read_seconds, **given)

    def make_room(self) -> None:
        """Close the connection that has waited longest; the newest, if nobody else waits."""
        connection, _ = self.waiting.popitem(last=False)
        connection.transport.abort()
        self._closed += 1

    def look(self, now: float) -> None:
        """Close those who have waited too long; to be called about once a second."""
        for connection, due in list(self.waiting.items()):
            if now >= (connection.begun + HEAD_SECONDS if connection.unread else due):
                connection.end()
        if self._closed:
            logger.warning(
                "%d connections closed to keep within %d (CROFT_MAX_CONNECTIONS)",
                *(self._closed, self.most),
            )
            self._closed = 0


class Connection(SlowReaderProtocol):
    """uvicorn's, with limits. They set no timers: the door looks at everybody now and then."""

    def __init__(self, door: Door, **given: Any) -> None:
        """``given``: what uvicorn gives its own, and the patience with readers."""
        super().__init__(**given)
        self._door = door
        self._sender = Sender()
        self.unread = 0
        """Bytes that came since there was last a complete head or a piece of a body."""
        self.begun = 0.0
        """When the first of them came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._door.waiting[self] = self.loop.time() + HEAD_SECONDS
        if len(self.connections) > self._door.most:
            self._door.make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._door.waiting.pop(self, None)
        super().connection_lost(exc)
        self._door.crowd.left()
        self._sender.leave()

    def data_received(self, data: bytes) -> None:
        """Read what came, unless it only goes on with a head that is too large."""
        if not self.unread:
            self.begun = self.loop.time()
        self.unread += len(data)
        super().data_received(data)
        if self.unread > HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """Let the application know who sends."""
        super().on_message_begin()
        self._sender.sending = True
        self.scope["state"][KEY] = self._sender

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        if self.unread > HEAD_BYTES and self._head_bytes() > HEAD_BYTES:
            raise ValueError("the head is too large")  # the parser stops, and a 400 is sent
        super().on_headers_complete()
        self.unread = 0
        self._door.waiting.pop(self, None)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        begin = partial(super()._start_asgi_task, cycle, app)
        rule = rule_for(cycle.scope["method"], cycle.scope["path"])
        if not (rule.reads_images and self._door.newcomers.postpone(begin)):
            begin()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self.unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Go on reading, to hear when the sender leaves; uvicorn stops while a body is large."""
        super().on_message_complete()
        self._sender.sending = False
        if not self.pipeline:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already.

        uvicorn would set a timer, at every request, which costs more than all else here.
        """
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.flow.resume_reading()
        if self.cycle.response_complete:
            self.unread = 0
            self._door.waiting[self] = self.loop.time() + self._door.keep_alive_seconds

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused."""
        if self.unread > HEAD_BYTES:
            self._refuse()
        else:
            super().send_400_response(msg)

    def end(self) -> None:
        """Close; at the second time without waiting until the last answer is read."""
        if self.transport.is_closing():
            self.transport.abort()
        else:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered as if it had not asked for another protocol."""

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self) -> None:
        if self not in self._door.waiting:
            self.transport.abort()  # these were trailers, and another answer may have begun
            return
        self.transport.write(_ANSWER)
        self.transport.close()
