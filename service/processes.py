"""Several service processes behind one port: started, watched, replaced, told to reload and to end.

The parent opens the port and answers nothing. Its children inherit the socket, and take about as
many connections each. Parent and child talk through pipes: a child's first line says that it
serves, a later one that it has reloaded; the end of its standard input says that the parent is
gone.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.crowd import Crowd, nobody
from service.settings import Settings
from service.shared_metrics import FOLDER, bury

logger = logging.getLogger(__name__)

_SOCKET: Final = "_CROFT_INHERITED_SOCKET"
"""Tells a child the descriptors of the socket and the crowd, and which of the processes it is."""
_RELOADED: Final = b"reloaded\n"
_STABLE_SECONDS: Final = 10.0
"""Who lived for less died at its start."""
_BACK_OFF_SECONDS: Final = (0.5, 30.0)
"""First and longest wait before a process that died at its start is replaced."""
_TRIES: Final = 5
"""How many starts in a row may fail while no other process serves."""
_LINE_BYTES: Final = 2**24
"""The longest line of a process: the first one names all bundles."""
_END_SECONDS: Final = 15.0
"""What a process may take beyond CROFT_DRAIN_SECONDS before it is killed."""


def inherited() -> tuple[socket.socket, Crowd] | None:
    """Return the socket that the parent opened, and whom others have; None without a parent."""
    if _SOCKET not in os.environ:
        return None
    listener, numbers, process = map(int, os.environ.pop(_SOCKET).split())
    crowd = Crowd.mapped(numbers, process)
    os.close(numbers)
    return socket.socket(fileno=listener), crowd


def tell_reloaded() -> None:
    """Ask the parent to have the other processes reload, too."""
    os.write(sys.stdout.fileno(), _RELOADED)


def when_orphaned(crowd: Crowd, end: Callable[[], None]) -> None:
    """Call ``end`` when the parent is gone: nobody would replace this process, or end it."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        crowd.parent_ended()
        end()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def supervise(settings: Settings, listener: socket.socket) -> int:
    """Run this command's processes until SIGTERM or Ctrl-C.

    Returns:
        0 after a clean end; 1 if no process came up, or one had to be killed at the end.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    with (
        tempfile.TemporaryDirectory(prefix="croft-metrics-") as folder,
        tempfile.TemporaryFile() as numbers,
    ):
        numbers.write(nobody(settings.processes))
        numbers.flush()
        supervisor = Supervisor(
            command, settings, listener=listener, numbers=numbers.fileno(), folder=Path(folder)
        )
        return asyncio.run(supervisor.run())


@dataclass(slots=True, eq=False)
class _Child:
    process: Process
    serves: bool = False
    outdated: bool = False
    """Whether a reload was asked for while it was loading."""

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            self.process.send_signal(number)


class Supervisor:
    """Keeps so many processes serving."""

    def __init__(
        self,
        command: Sequence[str],
        settings: Settings,
        *,
        listener: socket.socket,
        numbers: int,
        folder: Path,
    ) -> None:
        """Nothing is started before ``run``.

        Args:
            command: what a process runs.
            settings: how many, and how long they may take to end.
            listener: the socket that they share.
            numbers: the descriptor of a file with the numbers of their crowd.
            folder: an empty folder for their metrics.
        """
        self._command = command
        self._settings = settings
        self._listener = listener
        self._folder = folder
        self._numbers = numbers
        *self._crowds, self._own = (Crowd.mapped(numbers, i) for i in range(settings.processes + 1))
        self._children: set[_Child] = set()
        self._first_serves = asyncio.Event()
        self._ending = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        """Start the processes, replace those that die, and return when all have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        # The first one shows whether the bundles can be served at all; what is wrong with them
        # is then said once.
        first = asyncio.create_task(self._keep_one(0))
        await _first_of(self._first_serves, self._ending)
        others = [self._keep_one(i) for i in range(1, self._settings.processes)]
        await asyncio.gather(first, *others)
        return self._status

    async def _keep_one(self, number: int) -> None:
        """Keep one process serving, and replace it when it dies."""
        failures = 0
        while not self._ending.is_set():
            failures = 0 if await self._one_life(number) else failures + 1
            if self._ending.is_set():
                return
            if self._hopeless(failures):
                logger.error("no process can serve: giving up")
                self._status = 1
                self._end()
            await self._back_off(failures)

    async def _one_life(self, number: int) -> bool:
        """Start a process and stay with it to its end; say whether it served for a while."""
        started = time.monotonic()
        try:
            child = await self._start(number)
        except OSError as error:  # no memory, process or descriptor is left for it
            logger.error("a process could not be started: %s", error)
            return False
        await self._listen_to(child)
        code = await child.process.wait()
        self._children.discard(child)
        bury(child.process.pid, self._folder)
        self._crowds[number].let_go()
        if not self._ending.is_set():
            logger.error("process %d ended (%d) and is replaced", child.process.pid, code)
        return child.serves and time.monotonic() - started >= _STABLE_SECONDS

    async def _start(self, number: int) -> _Child:
        inherited = self._listener.fileno(), self._numbers
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            limit=_LINE_BYTES,
            pass_fds=inherited,
            process_group=0,  # Ctrl-C reaches the parent alone, which tells them once
            env=os.environ
            | {_SOCKET: " ".join(map(str, (*inherited, number))), FOLDER: str(self._folder)},
        )
        child = _Child(process)
        self._children.add(child)
        if self._ending.is_set():
            child.send(signal.SIGTERM)
        return child

    async def _listen_to(self, child: _Child) -> None:
        assert child.process.stdout is not None
        async for line in child.process.stdout:
            if line == _RELOADED:
                self._reload(but=child)
            elif not child.serves:
                self._serves(child, line)

    def _serves(self, child: _Child, greeting: bytes) -> None:
        child.serves = True
        if child.outdated:
            child.send(signal.SIGHUP)
        if not self._first_serves.is_set():
            self._first_serves.set()
            sys.stdout.write(greeting.decode())
            sys.stdout.flush()

    def _hopeless(self, failures: int) -> bool:
        if any(child.serves for child in self._children):
            return False
        return failures >= (_TRIES if self._first_serves.is_set() else 1)

    async def _back_off(self, failures: int) -> None:
        first, longest = _BACK_OFF_SECONDS
        seconds = min(longest, first * 2 ** (failures - 1)) if failures else 0.0
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    def _reload(self, but: _Child | None = None) -> None:
        """Have every other process reload; one that still loads does it afterwards."""
        for child in self._children - {but}:
            if child.serves:
                child.send(signal.SIGHUP)
            else:
                child.outdated = True

    def _end(self) -> None:
        """Have every process finish what it has; who does not end in time is killed."""
        if self._ending.is_set():
            return
        self._ending.set()
        # The port lives as long as anybody holds it; from now on that is for the processes.
        self._own.let_go()
        self._listener.close()
        for child in self._children:
            child.send(signal.SIGTERM)
        seconds = self._settings.drain_seconds + _END_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._kill)

    def _kill(self) -> None:
        for child in self._children:
            logger.error("process %d did not end in time and is killed", child.process.pid)
            self._status = 1
            child.send(signal.SIGKILL)


async def _first_of(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
