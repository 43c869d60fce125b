"""``croft serve``: one process, until it is told to stop."""

import argparse
import asyncio
import math
import signal
import socket
import sys
import time
from pathlib import Path

import uvicorn

from models.errors import ConfigError
from service import logs, tracing
from service.app import create_app
from service.registry import Registry
from service.settings import Settings, read_settings

_LAST_ANSWERS_SECONDS = 2
_BACKLOG = 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; everything else is a CROFT_* variable."""
    parser.add_argument(
        "bundles",
        nargs="*",
        type=Path,
        metavar="BUNDLE",
        help="bundle directories, the first is the default (none: the Toybox that ships)",
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 for a free one (default 8000)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish what is in flight; 0 after a clean end."""
    settings = read_settings(bundles=tuple(args.bundles) or None, host=args.host, port=args.port)
    logs.configure(settings.log_level, settings.log_format)
    registry = Registry.load(settings)
    with tracing.opened() as tracer, _listen(settings) as listener:
        app = create_app(settings, registry=registry, tracer=tracer)
        _greet(registry, listener)
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
        server = DrainingServer(config, registry)
        # uvicorn raises the signal again when it is done, which would kill this process.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        server.run(sockets=[listener])
    return 0


class DrainingServer(uvicorn.Server):
    """Keeps listening while it drains, so that new requests are told and not cut off."""

    def __init__(self, config: uvicorn.Config, registry: Registry) -> None:
        """``registry`` is what drains."""
        super().__init__(config)
        self._registry = registry

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, finish what is in flight within the time allowed, then close."""
        started = time.monotonic()
        allowed = self._registry.settings.drain_seconds
        self._registry.drain()
        try:
            async with asyncio.timeout(allowed):
                await self._registry.finished()
        except TimeoutError:
            pass
        left = allowed - (time.monotonic() - started)
        self.config.timeout_graceful_shutdown = max(_LAST_ANSWERS_SECONDS, math.ceil(left))
        await super().shutdown(sockets)


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
