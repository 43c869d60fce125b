"""Every request has an id, a timing and one line in the log."""

import json
import logging
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.logs import JsonFormatter
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


def _lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.name == "croft.request"]
    return [json.loads(JsonFormatter().format(record)) for record in records]


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


def test_probes_are_not_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """Health checks and scrapes show only at the level debug."""
    caplog.set_level(logging.INFO)
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    assert _lines(caplog) == []


def test_an_exception_becomes_part_of_its_line() -> None:
    """A traceback is one field, so that a log reader sees one record."""
    record = logging.makeLogRecord({"name": "x", "msg": "it %s", "args": ("broke",)})
    try:
        raise ValueError("why")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["event"] == "it broke"
    assert "ValueError: why" in json.loads(line)["exception"]
