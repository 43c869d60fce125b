"""Logs on standard error: every record of the process through one formatter, structlog's.

Modules speak to ``logging``, as libraries do; what they give as ``extra`` are the fields.
"""

import asyncio
import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor

Format = Literal["json", "console"]

_ENCODER: Final = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":"))
REQUESTS: Final = "croft.request"
"""The logger of the one line for each request."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({})))
_MOST_LINES: Final = 8
"""So many of requests fit into the 4 KiB that a pipe takes in one piece, whoever else writes."""
_FIRST: Final = ("time", "level", "logger", "event")


def formatter(style: Format = "json") -> logging.Formatter:
    """Return the formatter: one JSON object a line, or lines for a person to read."""
    kind = _JsonLines if style == "json" else structlog.stdlib.ProcessorFormatter
    return kind(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(style)],
    )


class _JsonLines(structlog.stdlib.ProcessorFormatter):
    """Writes the line of a request, which comes with every image, without the chain of processors.

    That line brings all its fields, and is the same either way.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        if record.name != REQUESTS or record.exc_info:
            return super().format(record)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        given = vars(record)
        return to_json(line | {k: given[k] for k in given if k not in _STANDARD}).decode()


class OncePerTurn(logging.StreamHandler[TextIO]):
    """Writes at once what one turn of the event loop logs.

    A batch of images is answered in one turn, and a write for each of its lines would let the
    other threads take the interpreter as often.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to ``stream``."""
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and what is still to be written before it, now or in a moment."""
        try:
            self._lines.append(self.format(record))
            loop = _running_loop()
            if loop is None or len(self._lines) == _MOST_LINES:
                self.flush()
            elif len(self._lines) == 1:
                loop.call_soon(self.flush)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what is still to be written."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join([*lines, ""]))
                super().flush()
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
    handler = OncePerTurn(sys.stderr)
    handler.setFormatter(formatter(style))
    _note_only_what_is_written()
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _note_only_what_is_written() -> None:
    """Leave out of records what no line shows; the manual's chapter Optimization."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


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
