"""Takes the connections that come to a port; of several processes, each about as many.

All wait at the same socket, and the first one there would take everybody: a connection stays with
its process, so that one would work while the others are idle.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

from service.crowd import Crowd

COURTESY_STEPS: Final = 20
"""How often a process with more connections than another leaves those who wait to that one.

It may be slow, or stuck: whoever still waits then is taken all the same.
"""
STEP_SECONDS: Final = 0.001
"""How long each time."""
_TROUBLE_SECONDS: Final = 1.0
"""How long nobody is taken after the system refused, for want of descriptors or memory."""
_ALL: Final = 2**16
"""More than can wait at a socket."""

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
        """Take everybody who waits, and close the socket, which would reset them.

        Where the process has run out of descriptors they are reset after all.
        """
        self._crowd.end()
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
            self._leave_them(COURTESY_STEPS)
        else:
            self._take_at_most(1)

    def _leave_them(self, steps: int) -> None:
        if not self._crowd.ahead:
            self._look()
        elif steps:
            self._timer = self._loop.call_later(STEP_SECONDS, self._leave_them, steps - 1)
        else:
            self._look()
            self._take_at_most(_ALL)

    def _take_at_most(self, connections: int) -> None:
        try:
            while connections and self._take():
                connections -= 1
        except OSError as error:
            logger.error("no connection can be taken for a moment: %s", error)
            self._loop.remove_reader(self._listener)
            self._timer = self._loop.call_later(_TROUBLE_SECONDS, self._look)

    def _take(self) -> bool:
        """Take one connection; say whether anybody still waited."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True
        self._crowd.came()
        making = self._loop.create_task(self._make(connection))
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        return True

    async def _make(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has gone already
            self._crowd.left()
            connection.close()
