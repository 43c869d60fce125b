"""Overload, deadlines, clients that leave, failures: each answered, each image counted once."""

import threading

import pytest
from starlette.testclient import TestClient

from benchmarks.processes import wait_until
from models.bundle import Bundle
from service.app import create_app
from tests.bundles import colour_image
from tests.service.asgi import Call
from tests.service.conftest import Serve
from tests.service.counting import outcomes, received
from tests.service.fakes import (
    BrokenAfterSelfTest,
    SelfTestThenGate,
    registry_in,
    registry_of,
    run,
    until,
)

RED = colour_image("red")
WHITE = colour_image("white")


def test_a_full_queue_sheds_with_retry_after(serve: Serve) -> None:
    """One image in work, one in the queue: the third gets 503, the others their answers."""
    gate = SelfTestThenGate()
    client = serve(hook=gate, workers=1, queue_images=1)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(client.post("/classify", content=RED).status_code)

    first = threading.Thread(target=ask)
    first.start()
    assert gate.reached.wait(10)
    second = threading.Thread(target=ask)
    second.start()
    metrics = registry_in(client).metrics.registry
    wait_until(lambda: metrics.get_sample_value("croft_queue_images") == 1)
    response = client.post("/classify", content=RED)
    gate.open.set()
    first.join()
    second.join()
    assert response.status_code == 503
    assert response.json()["type"] == "urn:croft:problem:overloaded"
    assert "1 of 1 images" in response.json()["detail"]
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert statuses == [200, 200]
    assert outcomes(metrics) == {"accepted": 2, "shed": 1}
    assert received(metrics) == 3
    assert metrics.get_sample_value("croft_queue_images") == 0
    assert metrics.get_sample_value("croft_queue_limit_images") == 1


def test_a_request_past_its_deadline_gets_504(serve: Serve) -> None:
    """The client hears of it in time, although the worker is still busy."""
    gate = SelfTestThenGate()
    client = serve(hook=gate, workers=1, request_timeout=0.2)
    response = client.post("/classify", content=RED)
    gate.open.set()
    assert response.status_code == 504
    assert "longer than 0.2 s" in response.json()["detail"]
    assert outcomes(registry_in(client).metrics.registry) == {"shed": 1}
    assert client.post("/classify", content=RED).status_code == 200


def test_an_internal_error_tells_nothing_but_the_request_id(serve: Serve) -> None:
    """500 names no file, type or value of the inside; the next request is fine."""
    client = serve(hook=BrokenAfterSelfTest("secret /srv/path"))
    response = client.post("/classify", content=RED)
    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in response.text
    assert outcomes(registry_in(client).metrics.registry) == {"failed": 1}


def test_a_bug_in_a_route_is_a_problem_document_too(bundle: Bundle) -> None:
    """Whatever nobody caught becomes a 500 with the request id, and without its message."""
    registry, settings = registry_of(bundle)
    app = create_app(settings, registry=registry)

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret")

    with TestClient(app) as client:
        response = client.get("/broken", headers={"X-Request-ID": "abc-1"})
    assert response.status_code == 500
    assert response.json()["type"] == "urn:croft:problem:internal"
    assert "abc-1" in response.json()["detail"]
    assert "secret" not in response.text
    assert "ZeroDivision" not in response.text


# ------------------------------------------------------------------ clients that leave


@pytest.mark.parametrize("when", ["upload", "answer"])
def test_a_client_that_leaves_is_counted_and_forgotten(bundle: Bundle, when: str) -> None:
    """During the upload or before the answer: cancelled, its place free, the next one served."""
    gate = SelfTestThenGate()
    registry, settings = registry_of(bundle, hook=gate, workers=1)
    app = create_app(settings, registry=registry)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            engine = registry.classifiers[0].engine
            await until(lambda: engine.idle)  # a worker may still let go of a golden image
            call = Call(app, "/classify", RED, first=100)
            if when == "answer":
                call.upload()
                await until(gate.reached.is_set)
            else:
                await until(lambda: not engine.idle)
            call.leave()
            await call.task
            gate.open.set()
            await until(lambda: engine.idle)

    run(scenario())
    assert outcomes(registry.metrics.registry) == {"cancelled": 1}
    assert received(registry.metrics.registry) == 1


def test_an_upload_that_never_ends_gets_504(bundle: Bundle) -> None:
    """A slow sender holds its place no longer than a request may take."""
    registry, settings = registry_of(bundle, request_timeout=0.1)
    app = create_app(settings, registry=registry)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            call = Call(app, "/classify", RED, first=100)
            await call.task
            assert registry.classifiers[0].engine.idle
            assert call.status == 504
            assert b"while its body was uploaded" in call.body

    run(scenario())
    assert outcomes(registry.metrics.registry) == {"shed": 1}


# ------------------------------------------------------------------ accounting


def test_every_image_has_exactly_one_outcome(serve: Serve) -> None:
    """After all kinds of requests, what was received equals the outcomes and the client's count."""
    client = serve(max_body_bytes=2000)
    bodies = [RED, RED, WHITE, b"", b"junk", RED[:-50], b"x" * 3000]
    for body in bodies:
        client.post("/classify", content=body)
    client.post("/classify?bundle=nope", content=RED)
    client.post("/classify?top_k=0", content=RED)
    client.post("/classify", files={"other": RED})
    client.get("/classify")
    metrics = registry_in(client).metrics.registry
    assert outcomes(metrics) == {"accepted": 2, "rejected": 1, "invalid": 7}
    assert received(metrics) == 10
    count = metrics.get_sample_value(
        "croft_images_total", {"bundle": "", "version": "", "outcome": "invalid"}
    )
    assert count == 1


def test_a_draining_service_takes_nothing_new(serve: Serve) -> None:
    """503 says that the process ends; readiness went first."""
    client = serve()
    registry_in(client).drain()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert ready.json()["type"] == "urn:croft:problem:draining"
    response = client.post("/classify", content=RED)
    assert response.status_code == 503
    assert response.json()["type"] == "urn:croft:problem:draining"
    assert response.headers["Retry-After"] == "1"
    assert client.get("/healthz").status_code == 200
    assert registry_in(client).metrics.registry.get_sample_value("croft_ready") == 0
