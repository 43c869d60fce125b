"""``croft serve``: one process, until it is told to stop."""

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
from service import logs, tracing
from service.app import create_app
from service.registry import Registry
from service.reload import Reloader
from service.settings import Settings, read_settings

_LAST_ANSWERS_SECONDS = 2
_TELL_SECONDS = 0.5
"""How long at least new requests are told that the process ends: those on their way as well."""
_LAST_REQUESTS_SECONDS = 0.1
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


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish what is in flight; 0 after a clean end."""
    reload_wanted = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload_wanted.set())
    settings = read_settings(bundles=tuple(args.bundles) or None, host=args.host, port=args.port)
    logs.configure(settings.log_level, settings.log_format)
    registry = Registry.load(settings)
    with tracing.opened() as tracer, _listen(settings) as listener:
        app = create_app(settings, registry=registry, tracer=tracer)
        _greet(registry, listener)
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
        server = DrainingServer(config, app.state.reloader, reload_wanted)
        # uvicorn raises the signal again when it is done, which would kill this process.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        server.run(sockets=[listener])
    return 0


class DrainingServer(uvicorn.Server):
    """Keeps listening while it drains, so that new requests are told and not cut off."""

    def __init__(
        self, config: uvicorn.Config, reloader: Reloader, reload_wanted: threading.Event
    ) -> None:
        """``reloader`` is asked whenever ``reload_wanted`` is set; its registry is what drains."""
        super().__init__(config)
        self._reloader = reloader
        self._reload_wanted = reload_wanted
        self._reloads: set[asyncio.Task[None]] = set()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether a reload is wanted."""
        if self._reload_wanted.is_set():
            self._reload_wanted.clear()
            task = asyncio.create_task(self._reloader.reload_when_free())
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, finish what is in flight within the time allowed, then close."""
        started = time.monotonic()
        registry = self._reloader.registry
        allowed = registry.settings.drain_seconds
        registry.drain()
        try:
            async with asyncio.timeout(allowed):
                await asyncio.gather(registry.finished(), asyncio.sleep(_TELL_SECONDS))
        except TimeoutError:
            pass
        await self._answer_the_last(sockets or [])
        left = allowed - (time.monotonic() - started)
        self.config.timeout_graceful_shutdown = max(_LAST_ANSWERS_SECONDS, math.ceil(left))
        await super().shutdown(sockets)

    async def _answer_the_last(self, sockets: list[socket.socket]) -> None:
        """Stop listening, and tell those who were connected but not heard yet.

        A socket that is closed resets every connection that waits in it. So the accepting ends
        first, and then everybody who waits is let in by hand.
        """
        listeners = [sock.dup() for sock in sockets]
        for server in self.servers:
            server.close()
        for listener in listeners:
            await self._accept_all(listener)
            listener.close()
        await asyncio.sleep(_LAST_REQUESTS_SECONDS)

    async def _accept_all(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        waiting = []
        while True:
            try:
                waiting.append(listener.accept()[0])
            except BlockingIOError:
                break
        listener.close()
        for connection in waiting:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        """Make what talks to a connection, as uvicorn does for those that it accepts itself."""
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


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
