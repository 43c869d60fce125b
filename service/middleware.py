"""Around every request: its id, its record, one log line, the last resort."""

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import trace_context
from service.deadline import Deadline
from service.errors import wire
from service.logs import REQUESTS, log_request
from service.metrics import OTHER, Metrics
from service.problems import problem_response
from service.rules import Rule, rule_for
from service.sender import KEY, Sender
from service.trace_context import Trace, read_traceparent
from service.tracing import RequestTracer

REQUEST_ID: Final = "X-Request-ID"
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_ids = random.Random()

logger = logging.getLogger(REQUESTS)


@dataclass(slots=True)
class RequestRecord:
    """What becomes known of a request on its way, for its log line and its timing header."""

    request_id: str
    rule: Rule
    """That of its method and path."""
    headers: Mapping[str, str]
    """Of the request, names in small letters; of one that is repeated the first.

    Starlette's goes through all of them at every look.
    """
    sender: Sender
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    bytes_in: int = 0
    problem: str | None = None
    """The slug of its error. Not the error: the traceback has frames that hold this record."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds, by stage."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the route found out; never image content."""
    deadline: Deadline | None = None
    """By when its body must be there, once the route reads it."""
    body_left: bool = True
    """Whether the application has not received all of the body."""
    images: int | None = None
    """How many images came with it, once that is known of a request that may bring many."""
    charge: Callable[[int], Awaitable[None]] | None = None
    """Counts so many images of this request against its caller's limit, if there is one."""
    traceparent: str | None = None
    """As given, if it was well-formed."""
    trace: Trace | None = None
    """The span of this request if it is traced, else that of its caller if it has one."""

    def note_problem(self, error: Exception) -> None:
        """Note with which error it is answered."""
        self.problem = wire(error).slug

    @property
    def seconds(self) -> float:
        """Time since the request began."""
        return time.perf_counter() - self.started

    @property
    def told(self) -> dict[str, Any]:
        """What the log line and the span tell of the route's work."""
        return self.facts if self.images is None else {**self.facts, "images": self.images}


class RecordMiddleware:
    """Gives every request an id and a record, times it, logs it, and catches what nobody did."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, tracer: RequestTracer | None = None
    ) -> None:
        """Wrap an application; ``tracer`` is told of every request but probes."""
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["record"] = record = _new_record(scope)
        structlog.contextvars.bind_contextvars(request_id=record.request_id)

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                _add_headers(message, record)
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:
            await self._answer_unexpected(scope, receive, send_noted, error)
        finally:
            self._close(scope, record)

    async def _answer_unexpected(
        self, scope: Scope, receive: Receive, send: Send, error: Exception
    ) -> None:
        record: RequestRecord = scope["state"]["record"]
        record.note_problem(error)
        logger.error("unexpected error", exc_info=error)
        if record.status:  # the answer has begun: all that is left is to cut it off
            raise error
        response = problem_response(error, path=scope["path"], request_id=record.request_id)
        await response(scope, receive, send)

    def _close(self, scope: Scope, record: RequestRecord) -> None:
        route = getattr(scope.get("route"), "path", OTHER)
        self._metrics.request_seconds.labels(route, str(record.status)).observe(record.seconds)
        probe = record.rule.probe
        if self._tracer is not None and not probe:
            record.trace = self._tracer.note(scope, record, route)
        level = logging.DEBUG if probe else logging.INFO
        if logger.isEnabledFor(level):
            log_request(level, _log_fields(scope, record, route))


def _new_record(scope: Scope) -> RequestRecord:
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
    }
    given = headers.get(REQUEST_ID.lower(), "")
    request_id = given if _SANE_ID.fullmatch(given) else f"{_ids.getrandbits(128):032x}"
    rule = rule_for(scope["method"], scope["path"])
    record = RequestRecord(request_id, rule, headers, scope["state"].get(KEY) or Sender())
    if (found := read_traceparent(headers)) is not None:
        record.traceparent, record.trace = found
    return record


def _add_headers(message: Message, record: RequestRecord) -> None:
    times = {**record.stages, "total": record.seconds}
    added = {
        REQUEST_ID: record.request_id,
        "X-Content-Type-Options": "nosniff",
        "Server-Timing": ", ".join([f"{k};dur={1e3 * s:.2f}" for k, s in times.items()]),
    }
    if record.traceparent is not None:
        added[trace_context.HEADER] = record.traceparent
    given = message.get("headers", ())
    message["headers"] = [*given, *((k.lower().encode(), v.encode()) for k, v in added.items())]


def _log_fields(scope: Scope, record: RequestRecord, route: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request_id": record.request_id,
        "method": scope["method"],
        "route": route,
        "status": record.status,
        "ms": round(1e3 * record.seconds, 2),
        "bytes_in": record.bytes_in,
        **record.told,
        **{f"{stage}_ms": round(1e3 * s, 2) for stage, s in record.stages.items()},
    }
    if record.trace is not None:
        fields |= {"trace_id": record.trace.trace_id, "span_id": record.trace.span_id}
    if record.problem is not None:
        fields["problem"] = record.problem
    return fields
