"""Spans of requests: on where a collector is named, and telling what the record tells."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

from models.bundle import Bundle
from service import tracing
from service.app import create_app
from service.logs import formatter
from service.tracing import SWITCHES, RequestTracer
from tests.bundles import colour_image
from tests.service.fakes import registry_of
from tests.service.processes import served

RED = colour_image("red")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = ["read", "queue", "decode", "encode", "decide"]

Traced = tuple[TestClient, InMemorySpanExporter]


@pytest.fixture
def traced(bundle: Bundle) -> Iterator[Traced]:
    """Return a client of an application whose spans are kept in memory, and the spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    registry, settings = registry_of(bundle)
    app = create_app(settings, registry=registry, tracer=RequestTracer(provider))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, exporter


def _split(spans: Sequence[ReadableSpan]) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """Return the one server span, and its children by start."""
    (server,) = [span for span in spans if span.kind is SpanKind.SERVER]
    children = [span for span in spans if span.parent and span.parent == server.context]
    assert len(children) == len(spans) - 1
    return server, sorted(children, key=lambda span: span.start_time or 0)


def test_a_request_is_a_span_with_its_stages(traced: Traced) -> None:
    """The stages follow each other inside it; its attributes are those of the log line."""
    client, exporter = traced
    client.post("/classify", content=RED, headers={"X-Request-ID": "one"})
    server, children = _split(exporter.get_finished_spans())
    assert server.name == "POST /classify"
    assert server.parent is None
    assert (
        dict(server.attributes or {}).items()
        >= {
            "http.request.method": "POST",
            "http.route": "/classify",
            "http.response.status_code": 200,
            "croft.request_id": "one",
            "croft.bundle": "colours@1",
            "croft.outcome": "accepted",
        }.items()
    )
    assert [child.name for child in children] == STAGES
    times = [server.start_time, *(t for c in children for t in (c.start_time, c.end_time))]
    assert times == sorted(times, key=lambda t: t or 0)
    assert (children[-1].end_time or 0) <= (server.end_time or 0)
    assert server.status.status_code is StatusCode.UNSET


def test_a_traceparent_is_the_parent(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    """The span belongs to the caller's trace, and the log line names the span itself."""
    caplog.set_level(logging.INFO)
    client, exporter = traced
    given = f"00-{TRACE}-{SPAN}-01"
    response = client.post("/classify", content=RED, headers={"traceparent": given})
    assert response.headers["traceparent"] == given
    server, _ = _split(exporter.get_finished_spans())
    assert server.context is not None
    assert server.parent is not None
    assert f"{server.context.trace_id:032x}" == TRACE
    assert f"{server.parent.span_id:016x}" == SPAN
    (record,) = [r for r in caplog.records if r.name == "croft.request"]
    line = json.loads(formatter().format(record))
    assert (line["trace_id"], line["span_id"]) == (TRACE, f"{server.context.span_id:016x}")


def test_a_caller_who_does_not_sample_is_followed(traced: Traced) -> None:
    """The flags of the traceparent decide, as the SDK's default sampler has it."""
    client, exporter = traced
    client.post("/classify", content=RED, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
    assert exporter.get_finished_spans() == ()


def test_errors_are_marked_and_probes_left_out(traced: Traced) -> None:
    """Our faults have the status error, the caller's a name; no span has anything uploaded."""
    client, exporter = traced
    client.get("/healthz")
    client.get("/metrics")
    assert exporter.get_finished_spans() == ()
    client.post("/classify?secret=1", content=b"private bytes")
    client.app.state.registry.drain()  # type: ignore[attr-defined]
    client.post("/classify", content=RED)
    invalid, draining = exporter.get_finished_spans()
    assert (invalid.attributes or {})["error.type"] == "unsupported-format"
    assert invalid.status.status_code is StatusCode.UNSET
    assert (draining.attributes or {})["error.type"] == "draining"
    assert draining.status.status_code is StatusCode.ERROR
    assert "private" not in invalid.to_json()
    assert "secret" not in invalid.to_json()


def test_without_a_collector_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off is the default, and loads nothing."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with tracing.opened() as tracer:
        assert tracer is None


def test_a_missing_extra_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The variable may be set for a whole cluster: it says what to install, and serves."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with tracing.opened() as tracer:
        assert tracer is None
    (record,) = caplog.records
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set" in record.getMessage()
    assert "pip install '.[service,otel,cpu]'" in record.getMessage()


class _Collector(HTTPServer):
    """Takes spans over HTTP, as a collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.requests: list[ExportTraceServiceRequest] = []


class _Take(BaseHTTPRequestHandler):
    server: _Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_a_service_sends_its_spans_to_the_collector(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``croft serve`` with the standard variables; the last spans arrive before it ends."""
    with _Collector() as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{collector.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
        with served(bundle_path, tmp_path / "log") as service:
            httpx.post(f"{service.url}/classify", content=RED).raise_for_status()
            service.process.terminate()
            assert service.process.wait(20) == 0
        collector.shutdown()
    (resource,) = [r for request in collector.requests for r in request.resource_spans]
    named = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert (named["service.name"], named["deployment.environment"]) == ("croft", "test")
    names = [span.name for scope in resource.scope_spans for span in scope.spans]
    assert sorted(names) == sorted(["POST /classify", *STAGES])
