"""Every request has an id, a timing and one line in the log."""

import base64
import gc
import json
import logging
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from benchmarks.processes import wait_until
from models.errors import CroftError
from service.logs import formatter
from tests.bundles import colour_image

RED = colour_image("red")


def _ask(client: TestClient, **headers: str) -> Any:
    return client.post("/classify", content=RED, headers=headers)


def test_a_sane_request_id_is_kept(client: TestClient) -> None:
    """The caller's id comes back in header and body."""
    response = _ask(client, **{"X-Request-ID": "trace-7:a/b"})
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "trace-7:a/b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, '"><script>', "a\tb"])
def test_another_request_id_is_replaced(client: TestClient, given: str) -> None:
    """An empty, long or strange one gets a new id, as does a request without any."""
    response = _ask(client, **{"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_stages_are_in_the_timing_header(client: TestClient) -> None:
    """Server-Timing has each stage in milliseconds, together no more than the total."""
    header = _ask(client).headers["Server-Timing"]
    times = {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", header)}
    assert list(times) == ["read", "queue", "decode", "encode", "decide", "total"]
    assert sum(times.values()) <= 2 * times["total"] + 0.1


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "given", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"7a-{TRACE}-{SPAN}-01-more=1"]
)
def test_a_traceparent_comes_back(
    client: TestClient, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    """As it was given; the log line has its trace and span."""
    caplog.set_level(logging.INFO)
    assert _ask(client, traceparent=given).headers["traceparent"] == given
    (line,) = _lines(caplog)
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "given",
    [
        *("", "x", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01"),
        *(f"00-{TRACE.upper()}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"),
        *(f" 00-{TRACE}-{SPAN}-01x", f"01-{TRACE}-{SPAN}-01-{'x' * 201}"),
    ],
)
def test_a_malformed_traceparent_is_ignored(
    client: TestClient, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    """Neither sent back nor logged; the request is answered all the same."""
    caplog.set_level(logging.INFO)
    response = _ask(client, traceparent=given)
    assert response.status_code == 200
    assert "traceparent" not in response.headers
    (line,) = _lines(caplog)
    assert "trace_id" not in line


def _lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.name == "croft.request"]
    return [json.loads(formatter().format(record)) for record in records]


def test_a_request_is_one_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """The line has what was asked, what came of it and where the time went."""
    caplog.set_level(logging.INFO)
    _ask(client, **{"X-Request-ID": "one"})
    (line,) = _lines(caplog)
    assert line["event"] == "request"
    expected = {
        "request_id": "one",
        "method": "POST",
        "route": "/classify",
        "status": 200,
        "bundle": "colours@1",
        "outcome": "accepted",
        "bytes_in": len(RED),
    }
    assert line.items() >= expected.items()
    assert {"ms", "decode_ms", "encode_ms", "p_value"} <= line.keys()


def test_the_line_of_many_images_counts_them(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch and an inference; a request for one image does not say so."""
    caplog.set_level(logging.INFO)
    b64 = base64.b64encode(RED).decode()
    client.post("/classify/batch", json={"images": [{"b64": b64}, {"b64": "no"}]})
    tensor = {"name": "image", "datatype": "BYTES", "shape": [3], "data": [b64] * 3}
    client.post("/v2/models/colours/infer", json={"inputs": [tensor]})
    _ask(client)
    assert [line.get("images") for line in _lines(caplog)] == [2, 3, None]


def test_a_refused_request_names_its_problem(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The line of an error has the problem's name, and nothing that was uploaded."""
    caplog.set_level(logging.INFO)
    client.post("/classify?secret=1", content=b"private bytes")
    (line,) = _lines(caplog)
    assert line["problem"] == "unsupported-format"
    assert "private" not in json.dumps(line)
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (RED, {"Content-Type": "text/plain"}, 415),
        (b"no image", {}, 415),
        (RED[:-100], {}, 422),
        (RED, {"X-Request-Timeout": "0.000001"}, 504),
    ],
    ids=["in the route", "no image", "damaged", "late"],
)
def test_an_error_is_gone_with_its_request(
    client: TestClient, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Without the collector, whose work a flood of them would multiply; the upload goes, too."""
    known = _errors()  # of other tests, and still held by somebody
    gc.disable()
    try:
        assert client.post("/classify", content=body, headers=headers).status_code == status
        wait_until(lambda: {id(e) for e in _errors()} <= {id(e) for e in known}, seconds=10)
    finally:
        gc.enable()


def _errors() -> list[CroftError]:
    """Return all that exist: some objects of libraries warn when ``isinstance`` asks them."""
    return [found for found in gc.get_objects() if issubclass(type(found), CroftError)]


def test_probes_are_not_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """Health checks and scrapes show only at the level debug."""
    caplog.set_level(logging.INFO)
    for path in ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"):
        client.get(path)
    assert _lines(caplog) == []
