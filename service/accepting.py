"""Takes the connections that come to a port; of several processes, each about as many.

All wait at the same socket, and the first one there would take everybody: a connection stays with
its process, so that one would work while the others are idle.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from service import handshakes
from service.crowd import Crowd

COURTESY_SECONDS: Final = 0.02
"""How long a process with more connections than another leaves those who wait to that one.

It may be slow, or stuck: whoever still waits then is taken all the same.
"""
_STEP_SECONDS: Final = 0.001
"""How often it looks meanwhile whether it still has more."""
_TROUBLE_SECONDS: Final = 1.0
"""How long nobody is taken after the system refused, for want of descriptors or memory."""
_TROUBLE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

logger = logging.getLogger(__name__)


class Acceptor:
    """Waits at a socket, and has a protocol talk to everybody who comes."""

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], *, crowd: Crowd
    ) -> None:
        """Begin, on the running event loop.

        Args:
            listener: listens already; ``finish`` closes it.
            protocol: makes what talks to a connection, and says in ``crowd`` that it has left.
            crowd: whom this process and the others have taken.
        """
        listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._crowd = crowd
        self._timer: asyncio.TimerHandle | None = None
        self._making: set[asyncio.Task[None]] = set()
        crowd.begin()
        self._look()

    async def finish(self) -> None:
        """Take everybody who waits, then close the socket.

        Closing resets whoever still waits. So the last process that has the socket lets nobody new
        connect before; those whom it cannot take for want of descriptors are reset all the same.
        """
        if self._crowd.let_go() and handshakes.ignore_new(self._listener):
            await asyncio.sleep(handshakes.SECONDS)
        self._loop.remove_reader(self._listener)
        if self._timer is not None:
            self._timer.cancel()
        with self._listener, contextlib.suppress(OSError):
            while self._take():
                pass
        if self._making:
            await asyncio.wait(self._making)

    def _look(self) -> None:
        self._loop.add_reader(self._listener, self._somebody_waits)

    def _somebody_waits(self) -> None:
        """Take one, so that other processes have their turn; or leave them to one with fewer."""
        if self._crowd.ahead:
            self._loop.remove_reader(self._listener)
            self._leave_them(until=self._loop.time() + COURTESY_SECONDS)
            return
        try:
            self._take()
        except OSError as error:
            logger.error("no connection can be taken for a moment: %s", error)
            self._loop.remove_reader(self._listener)
            self._timer = self._loop.call_later(_TROUBLE_SECONDS, self._look)

    def _leave_them(self, until: float) -> None:
        if self._crowd.ahead and self._loop.time() < until:
            self._timer = self._loop.call_later(_STEP_SECONDS, self._leave_them, until)
        else:
            self._crowd.pass_over()
            self._look()

    def _take(self) -> bool:
        """Take one connection; say whether anybody still waited.

        Raises:
            OSError: the process or the system has no room for it.
        """
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _TROUBLE:
                raise
            return True  # that of the connection, which has failed already
        self._crowd.came()
        making = self._loop.create_task(self._make(connection))
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        return True

    async def _make(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except Exception as error:
            self._crowd.left()
            connection.close()
            if not isinstance(error, OSError):  # which is that it has gone already
                logger.error("a connection could not be served", exc_info=error)
