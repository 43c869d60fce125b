"""OpenTelemetry spans of requests: the extra ``otel``, and on only where a collector is named.

A request's spans are made when it is over, from the times that its record has anyway. While
tracing is off nothing of this runs.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers
from starlette.types import Scope

from service.trace_context import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from service.middleware import RequestRecord

SWITCHES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Any of them turns tracing on; the SDK reads them, and its other OTEL_* variables, by itself."""
_LAST_SPANS_SECONDS: Final = 3.0
"""How long the end of the process waits for a collector that does not answer."""

logger = logging.getLogger(__name__)


class RequestTracer:
    """Turns the record of a finished request into a server span with a child for each stage."""

    def __init__(self, provider: "TracerProvider") -> None:
        """``provider`` says where spans go."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("croft")
        self._propagator = TraceContextTextMapPropagator()

    def note(self, scope: Scope, record: "RequestRecord", route: str) -> Trace:
        """Make the spans of a request that ends now, and return which trace and span it was."""
        from opentelemetry import trace

        end = time.time_ns()
        start = end - _nanoseconds(record.seconds)
        span = self._tracer.start_span(
            f"{scope['method']} {route}",
            context=self._propagator.extract(Headers(scope=scope)),
            kind=trace.SpanKind.SERVER,
            attributes=_attributes(scope, record, route),
            start_time=start,
        )
        if record.status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        inside = trace.set_span_in_context(span)
        for stage, seconds in record.stages.items():
            child = self._tracer.start_span(stage, context=inside, start_time=start)
            start += _nanoseconds(seconds)
            child.end(start)
        span.end(end)
        context = span.get_span_context()
        return Trace(trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id))


@contextlib.contextmanager
def opened() -> Iterator[RequestTracer | None]:
    """Give a tracer where the environment names a collector, and send the last spans at the end.

    The variables are often set for every process of a machine or cluster: without the extra they
    are a warning, and no reason not to serve.
    """
    if not any(os.environ.get(name) for name in SWITCHES):
        yield None
        return
    try:
        provider = _provider()
    except ImportError as error:
        logger.warning(
            "%s is set, but requests are not traced. Type in the checkout: "
            "pip install '.[service,otel,cpu]' (%s)",
            " or ".join(name for name in SWITCHES if os.environ.get(name)),
            error,
        )
        yield None
        return
    try:
        yield RequestTracer(provider)
    finally:
        closing = threading.Thread(target=provider.shutdown, daemon=True)
        closing.start()
        closing.join(_LAST_SPANS_SECONDS)


def _provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource({"service.name": "croft"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _attributes(scope: Scope, record: "RequestRecord", route: str) -> dict[str, Any]:
    attributes = {
        "http.request.method": scope["method"],
        "http.route": route,
        "http.response.status_code": record.status,
        "croft.request_id": record.request_id,
        **{f"croft.{name}": fact for name, fact in record.told.items()},
    }
    if record.problem is not None:
        attributes["error.type"] = record.problem
    return attributes


def _nanoseconds(seconds: float) -> int:
    return int(1e9 * seconds)
