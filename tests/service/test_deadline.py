"""A request's own time: read strictly, cut to what the settings allow, and kept."""

import time
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.deadline import HEADER, read_deadline
from service.errors import BadRequest
from tests.bundles import colour_image
from tests.service.conftest import Serve
from tests.service.fakes import Gate

RED = colour_image("red")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, 30.0), ("2", 2.0), ("0.25", 0.25), ("30.5", 30.0), ("999999999999", 30.0)],
)
def test_seconds_are_cut_to_the_setting(given: str | None, seconds: float) -> None:
    """Less than the setting is taken as it is; more, or nothing, is the setting."""
    before = time.monotonic()
    deadline = read_deadline({HEADER.lower(): given} if given else {}, most=30.0)
    assert deadline.seconds == seconds
    assert before + seconds <= deadline.at <= time.monotonic() + seconds
    assert 0 < deadline.left <= seconds


@pytest.mark.parametrize(
    "given",
    ["", "0", "0.000", "-1", "+1", "1e3", "nan", "inf", "1.", ".5", "1,5", "5s", "٣", "9" * 13],
)
def test_anything_else_is_refused(given: str) -> None:
    """The message says what was given and what is allowed."""
    with pytest.raises(BadRequest, match=r"number of seconds above 0, such as 2 or 0\.5, got "):
        read_deadline({HEADER.lower(): given}, most=30.0)


def test_a_malformed_one_is_a_400(client: TestClient) -> None:
    """As a problem document, before anything is done for the request."""
    response = client.post("/classify", content=RED, headers={HEADER: "soon"})
    assert response.status_code == 400
    assert response.json()["type"] == "urn:croft:problem:bad-request"
    assert "'soon'" in response.json()["detail"]
    assert client.post("/classify", content=RED, headers={HEADER: "20"}).status_code == 200


class _AfterSelfTest(Gate):
    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0

    def __call__(self, pixels_BHWC: Any) -> None:
        """Hold what comes after the three golden images."""
        self.encoded += len(pixels_BHWC)
        if self.encoded > 3:
            super().__call__(pixels_BHWC)


def test_a_request_past_its_own_deadline_gets_504(serve: Serve) -> None:
    """In the worker's hands or still waiting; one that waited too long is never encoded."""
    gate = _AfterSelfTest()
    client = serve(hook=gate, workers=1)
    for _ in range(2):  # the first is being encoded when its time is over, the second waits
        response = client.post("/classify", content=RED, headers={HEADER: "0.2"})
        assert response.status_code == 504
        assert "longer than 0.2 s (X-Request-Timeout" in response.json()["detail"]
    gate.open.set()
    assert client.post("/classify", content=RED).status_code == 200
    assert gate.encoded == 3 + 1 + 1
    assert isinstance(client.app, FastAPI)
    metrics = client.app.state.registry.metrics.registry
    labels = {"bundle": "colours", "version": "1", "outcome": "shed"}
    assert metrics.get_sample_value("croft_images_total", labels) == 2
