"""Logs on standard error: every record of the process through one formatter, structlog's.

Modules speak to ``logging``, as libraries do; what they give as ``extra`` are the fields.
"""

import asyncio
import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any, Final, Literal, TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor

Format = Literal["json", "console"]

_ENCODER: Final = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":"))
REQUESTS: Final = "croft.request"
"""The logger of the one line for each request."""
MOMENT_SECONDS: Final = 0.02
"""How long a line may wait to be written with others."""
_FIRST: Final = ("time", "level", "logger", "event")

logger = logging.getLogger(REQUESTS)


def formatter(style: Format = "json") -> logging.Formatter:
    """Return the formatter: one JSON object a line, or lines for a person to read."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(style)],
    )


class OncePerMoment(logging.StreamHandler[TextIO]):
    """Writes in one piece what is logged within a moment, but warnings and errors immediately.

    At every write the other threads may take the interpreter, and the event loop waits to have it
    back.
    """

    def __init__(self, stream: TextIO, style: Format = "json") -> None:
        """Write to ``stream``."""
        super().__init__(stream)
        self.style = style
        self.setFormatter(formatter(style))
        self._lines: list[str] = []
        self._bytes = 0
        self._awaited: asyncio.AbstractEventLoop | None = None
        """Which event loop is going to write them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, now or in a moment."""
        try:
            self.add(self.format(record))
        except Exception:
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def add(self, line: str) -> None:
        """Write a line, and what is still to be written before it, now or in a moment."""
        self.acquire()
        try:
            size = len(line.encode(errors="replace")) + 1
            if self._bytes + size > PIPE_BUF:
                self.flush()
            self._lines.append(line)
            self._bytes += size
            loop = _running_loop()
            if loop is None:
                self.flush()
            elif self._awaited is not loop:
                self._awaited = loop
                loop.call_later(MOMENT_SECONDS, self._end_moment)
        finally:
            self.release()

    def _end_moment(self) -> None:
        self._awaited = None
        self.flush()

    def flush(self) -> None:
        """Write what is still to be written."""
        self.acquire()
        try:
            lines, self._lines, self._bytes = self._lines, [], 0
            if lines:
                self.stream.write("\n".join([*lines, ""]))
                super().flush()
        except (OSError, ValueError):
            pass  # whoever read the log has gone: nobody is left to be told, and requests go on
        finally:
            self.release()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def configure(level: str, style: Format = "json") -> None:
    """Send every log record and warning of this process through the formatter.

    What Pillow and the form parser remark about an upload is its sender's business, who gets the
    error; Python would also remember every different remark for as long as the process lives.
    """
    handler = OncePerMoment(sys.stderr, style)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")


def log_request(level: int, fields: dict[str, Any]) -> None:
    """Log the one line of a request.

    It comes with every image, so where JSON on standard error is all that anybody wants it goes
    past ``logging`` and structlog's processors, which would write the same.
    """
    listeners = [*logger.handlers, *logging.root.handlers]
    only = listeners[0] if len(listeners) == 1 else None
    if isinstance(only, OncePerMoment) and only.style == "json":
        only.add(request_line(level, fields))
    else:
        logger.log(level, "request", extra=fields)


def request_line(level: int, fields: dict[str, Any]) -> str:
    """Return the line of a request that has just ended."""
    time = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    name = logging.getLevelName(level).lower()
    first = {"time": time, "level": name, "logger": REQUESTS, "event": "request"}
    return to_json(first | fields, fallback=str).decode()


def _rendering(style: Format) -> list[Processor]:
    if style == "console":
        return [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), timestamp_key="time", sort_keys=False
            )
        ]
    return [
        structlog.processors.format_exc_info,
        _arranged,
        structlog.processors.JSONRenderer(serializer=_as_json),
    ]


def _arranged(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Put first what every line has, and drop what uvicorn adds for terminals."""
    event.pop("color_message", None)
    return {key: event.pop(key) for key in _FIRST} | dict(event)


def _as_json(event: Any, **_options: Any) -> str:
    return _ENCODER.encode(event)
