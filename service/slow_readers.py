"""Cuts off who does not read its answer, for what is sent holds memory until it is read."""

import asyncio
import contextlib
import fcntl
import struct
import termios
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class SlowReaderProtocol(HttpToolsProtocol):
    """uvicorn's, but that a connection may stand still for so long and no longer.

    To the application it looks as if the client had left: the work ends, and the rest of it is
    counted as cancelled. A reader that is slow, and reads, is waited for.
    """

    def __init__(self, *args: Any, patience: float, **options: Any) -> None:
        """``patience``: seconds without a byte read, once the buffers are full."""
        super().__init__(*args, **options)
        self._patience = patience
        self._look: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Begin to look whether anything is read: the buffer is full."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """Stop to look: there is room again."""
        super().resume_writing()
        self._stop_looking()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to look: there is nobody any more."""
        self._stop_looking()
        super().connection_lost(exc)

    @property
    def answers(self) -> bool:
        """Whether an answer has begun and has not come to its end."""
        started = getattr(self.cycle, "response_started", False)  # no cycle before a request
        return started and not self.cycle.response_complete

    def cut_off(self) -> None:
        """Close at once; what was not read is lost."""
        self.transport.abort()

    def _look_later(self) -> None:
        self._look = self.loop.call_later(self._patience, self._cut_off_unless, self._unread())

    def _cut_off_unless(self, less_than: int) -> None:
        """Look again later if something was read since there were so many bytes unread."""
        if self._unread() < less_than:
            self._look_later()
        else:
            self.cut_off()

    def _unread(self) -> int:
        """Return how many bytes the other side has not received.

        Most are in the kernel, which takes more only when a third of its megabytes is free again.
        """
        unread = self.transport.get_write_buffer_size()
        with contextlib.suppress(OSError):
            descriptor = self.transport.get_extra_info("socket").fileno()
            (kernel,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
            unread += kernel
        return unread

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
