"""Liveness follows the workers; readiness follows the golden images."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from models.bundle import Bundle
from service.registry import Registry
from tests.bundles import KNOWN, colour_image, load_tiny
from tests.service.conftest import Serve


def _spoilt(bundle: Bundle, *, quantity: str = "energy") -> Bundle:
    """Return the bundle as if another machine had recorded one of its golden images."""
    test = bundle.manifest.self_test
    first = test.images[0]
    moved = first.model_copy(update={quantity: getattr(first, quantity) + 1.0})
    changed = test.model_copy(update={"images": [moved, *test.images[1:]]})
    manifest = bundle.manifest.model_copy(update={"self_test": changed})
    return replace(bundle, manifest=manifest)


def test_a_sound_service_is_live_and_ready(serve: Serve) -> None:
    """Both probes say so, and name the bundles."""
    client = serve()
    assert client.get("/healthz").json() == {"live": True, "problems": []}
    body = client.get("/readyz").json()
    assert body == {"ready": True, "bundles": ["colours@1"], "warnings": [], "failures": []}


@pytest.mark.parametrize("quantity", ["energy", "score"])
def test_a_golden_image_that_differs_keeps_it_from_being_ready(
    serve: Serve, bundle: Bundle, quantity: str
) -> None:
    """503 names the image, what this machine gave and what was expected; nothing is answered."""
    client = serve(_spoilt(bundle, quantity=quantity))
    response = client.get("/readyz")
    assert response.status_code == 503
    body = response.json()
    assert (body["type"], body["ready"]) == ("urn:croft:problem:not-ready", False)
    (failure,) = body["failures"]
    assert failure["image"] == f"golden/{next(iter(KNOWN))}.jpg"
    assert failure["quantity"] == quantity
    assert failure["expected"] == pytest.approx(failure["got"] + 1)
    for word in (failure["image"], str(failure["got"]), str(failure["expected"])):
        assert word in body["detail"]
    refused = client.post("/classify", content=colour_image("red"))
    assert refused.json()["type"] == "urn:croft:problem:not-ready"


def test_a_difference_can_be_a_warning(serve: Serve, bundle: Bundle) -> None:
    """With CROFT_SELF_TEST=warn the service answers, and its readiness has a warning."""
    client = serve(_spoilt(bundle), self_test="warn")
    response = client.get("/readyz")
    assert response.status_code == 200
    assert "expected" in response.json()["warnings"][0]
    assert client.post("/classify", content=colour_image("red")).status_code == 200


def test_a_golden_image_without_an_answer_is_a_failure(serve: Serve, bundle: Bundle) -> None:
    """If the encoder fails on it, readiness says so in place of a number."""

    def hook(_pixels: Any) -> None:
        raise RuntimeError("no such operator")

    response = serve(bundle, hook=hook).get("/readyz")
    assert response.status_code == 503
    assert [failure["got"] for failure in response.json()["failures"]] == [None] * len(KNOWN)


def test_other_bundles_answer_beside_one_that_failed(
    serve: Serve, bundle: Bundle, tmp_path: Path
) -> None:
    """A bundle that failed its self-test refuses; the process is not ready, its neighbour works."""
    other = load_tiny(tmp_path / "other", name="other")
    client = serve(_spoilt(bundle), other)
    assert client.get("/readyz").status_code == 503
    red = colour_image("red")
    assert client.post("/classify?bundle=other", content=red).status_code == 200
    assert client.post("/classify", content=red).status_code == 503


def test_liveness_fails_with_a_worker(serve: Serve) -> None:
    """A worker that is gone and not replaced is named."""
    client = serve(workers=1)
    assert isinstance(client.app, FastAPI)
    registry: Registry = client.app.state.registry
    for engine in registry.engines:
        assert engine._crew._watch is not None  # or it would replace the worker at once
        engine._crew._watch.get_loop().call_soon_threadsafe(engine._crew._watch.cancel)
        engine._line.close()  # sends the workers home, as nothing but the end should
        engine._crew._workers[0].join(10)
    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.json() == {"live": False, "problems": ["worker 0 died."]}


def test_readiness_fails_with_the_encoder(serve: Serve) -> None:
    """After five failures in a row it is 503 and says why; once the encoder works, it is back."""
    broken = threading.Event()

    def hook(_pixels: Any) -> None:
        if broken.is_set():
            raise RuntimeError("no memory")

    client = serve(hook=hook, workers=1)
    broken.set()
    for _ in range(6):  # a batch counts just after it was answered
        assert client.post("/classify", content=colour_image("red")).status_code == 500
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:croft:problem:not-ready"
    assert "colours@1: its encoder fails on everything" in response.json()["detail"]
    assert "croft_ready 0.0" in client.get("/metrics").text
    broken.clear()
    while client.get("/readyz").status_code == 503:
        time.sleep(0.05)
    assert "croft_ready 1.0" in client.get("/metrics").text
