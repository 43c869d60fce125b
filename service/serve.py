"""``croft serve``: until it is told to stop, in one process or in several behind one port."""

import argparse
import asyncio
import math
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn

from models.errors import ConfigError
from service import logs, memory, processes, tracing
from service.accepting import Acceptor
from service.app import create_app
from service.connections import Door, affordable
from service.crowd import Crowd
from service.newcomers import Newcomers
from service.registry import Registry
from service.reload import Reloader
from service.settings import Settings, read_settings
from service.slow_readers import SlowReaderProtocol

_LAST_ANSWERS_SECONDS = 2
_LAST_READS_SECONDS = 1.5
"""How long an answer has that the time allowed did not suffice for. Less than the line above says,
or uvicorn ends its task with a traceback."""
_TELL_SECONDS = 0.5
"""How long at least new requests are told that the process ends: those on their way as well."""
_LAST_REQUESTS_SECONDS = 0.5
"""How long those have to ask who are connected and have not asked yet."""
_LOOK_SECONDS = 0.02
_BACKLOG = 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; everything else is a CROFT_* variable."""
    parser.add_argument(
        "bundles",
        nargs="*",
        type=Path,
        metavar="BUNDLE",
        help="bundles, or folders of them; the first is the default (none: the Toybox that ships)",
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 for a free one (default 8000)")
    parser.add_argument("--processes", type=int, help="behind the port (default 1)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish what is in flight; 0 after a clean end."""
    settings = read_settings(
        bundles=tuple(args.bundles) or None,
        host=args.host,
        port=args.port,
        processes=args.processes,
    )
    logs.configure(settings.log_level, settings.log_format)
    memory.return_large_blocks()
    inherited = processes.inherited()
    if inherited is not None:
        return _serve(settings, *inherited, is_child=True)
    if settings.processes > 1:
        with _listen(settings) as listener:
            return processes.supervise(settings, listener)
    return _serve(settings)


def _serve(
    settings: Settings,
    listener: socket.socket | None = None,
    crowd: Crowd | None = None,
    *,
    is_child: bool = False,
) -> int:
    reload_wanted = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload_wanted.set())
    registry = Registry.load(settings)
    with tracing.opened() as tracer, listener or _listen(settings) as opened:
        app = create_app(settings, registry=registry, tracer=tracer)
        door = Door(
            most=affordable(settings.max_connections),
            keep_alive_seconds=settings.keep_alive_seconds,
            read_seconds=settings.request_timeout,
            crowd=crowd or Crowd(),
            newcomers=Newcomers(registry.full_for),
        )
        config = uvicorn.Config(
            app,
            http=door.protocol,  # type: ignore[arg-type]  # called as a class is
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        server = DrainingServer(config, app.state.reloader, door=door, reload_wanted=reload_wanted)
        if is_child:
            processes.when_orphaned(door.crowd, server.end)
            app.state.reloader.tell_others = processes.tell_reloaded
        # Until uvicorn handles them, and after: it raises a signal again when it is done.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.end())
        _greet(registry, opened)
        server.run(sockets=[opened])
    return 0


class DrainingServer(uvicorn.Server):
    """Keeps listening while it drains, so that new requests are told and not cut off."""

    def __init__(
        self,
        config: uvicorn.Config,
        reloader: Reloader,
        *,
        door: Door,
        reload_wanted: threading.Event,
    ) -> None:
        """``reloader`` is asked whenever ``reload_wanted`` is set; its registry is what drains."""
        super().__init__(config)
        self._reloader = reloader
        self._door = door
        self._reload_wanted = reload_wanted
        self._reloads: set[asyncio.Task[None]] = set()
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load, then take the connections that come to the sockets; uvicorn would take them all."""
        await super().startup(sockets=[])
        crowd = self._door.crowd
        self._acceptors = [Acceptor(sock, self._protocol, crowd=crowd) for sock in sockets or []]

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether a reload is wanted; once, who is ready or waits."""
        if counter % 10 == 0:
            # For the other processes: each shows what all have shown.
            self._reloader.registry.show_readiness()
            self._door.look(asyncio.get_running_loop().time())
        if self._reload_wanted.is_set():
            self._reload_wanted.clear()
            task = asyncio.create_task(self._reloader.reload_when_free())
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)
        return await super().on_tick(counter)

    def end(self) -> None:
        """Shut down as after SIGTERM; may be called from any thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, finish what is in flight within the time allowed, then close."""
        started = time.monotonic()
        registry = self._reloader.registry
        allowed = registry.settings.drain_seconds
        registry.drain()
        self._door.crowd.end()  # with ever fewer connections it would be left all new ones
        try:
            async with asyncio.timeout(allowed):
                await asyncio.gather(registry.finished(), asyncio.sleep(_TELL_SECONDS))
        except TimeoutError:
            registry.shed_batches()
            asyncio.get_running_loop().call_later(_LAST_READS_SECONDS, self._cut_off)
        await self._answer_the_last()
        left = allowed - (time.monotonic() - started)
        self.config.timeout_graceful_shutdown = max(_LAST_ANSWERS_SECONDS, math.ceil(left))
        await super().shutdown(sockets)

    async def _answer_the_last(self) -> None:
        """Stop listening, and tell those who were connected but not heard yet."""
        for acceptor in self._acceptors:
            await acceptor.finish()
        end = time.monotonic() + _LAST_REQUESTS_SECONDS
        while time.monotonic() < end and any(map(_never_asked, self.server_state.connections)):
            await asyncio.sleep(_LOOK_SECONDS)

    def _cut_off(self) -> None:
        """Close the connections whose answers have begun and do not end: nobody reads them."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, SlowReaderProtocol) and connection.answers:
                connection.cut_off()

    def _protocol(self) -> asyncio.Protocol:
        """Make what talks to a connection, as uvicorn would."""
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _never_asked(connection: object) -> bool:
    """Say whether no request has come over a connection yet."""
    return getattr(connection, "cycle", None) is None


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server(
            (settings.host, settings.port), family=family, backlog=_BACKLOG, reuse_port=False
        )
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {settings.host} port {settings.port}: {error}. Give another "
            "--host or --port, or stop what is using it."
        ) from error


def _greet(registry: Registry, listener: socket.socket) -> None:
    """Tell the person at the terminal where to look; logs go to standard error."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    bundles = ", ".join(c.reference for c in registry.classifiers)
    sys.stdout.write(f"Serving {bundles} at http://{shown}:{port}/ (Ctrl-C stops it)\n")
    sys.stdout.flush()
