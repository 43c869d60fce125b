"""``/v2``: the decisions of ``/classify``, for all images of a request or none, each counted."""

import base64
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from benchmarks.processes import wait_until
from models.bundle import Bundle
from service.app import create_app
from service.oip import OUTPUTS
from service.registry import Registry
from tests.bundles import KNOWN, UNKNOWN, colour_image, load_tiny
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

RED, WHITE, BLUE = colour_image("red"), colour_image("white"), colour_image("blue")
INFER = "/v2/models/colours/infer"


def _inputs(images: Sequence[bytes], **changes: Any) -> dict[str, Any]:
    data = [base64.b64encode(image).decode() for image in images]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)], "data": data}
    return {"inputs": [{**tensor, **changes}]}


def _ask(client: TestClient, *images: bytes, path: str = INFER, **more: Any) -> Any:
    return client.post(path, json={**_inputs(images), **more})


def _tensors(response: Any) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def _problem(response: Any, status: int, slug: str) -> str:
    """Check that a response is this problem, as clients of the protocol read it."""
    assert response.status_code == status, response.text
    assert response.json()["type"] == f"urn:croft:problem:{slug}"
    return str(response.json()["error"])


def _counted(client: TestClient) -> dict[str, float]:
    """Return the images by outcome, after a check that each has one."""
    registry = registry_in(client).metrics.registry
    counted = outcomes(registry)
    assert received(registry) == sum(counted.values())
    return counted


def _waiting(registry: Registry) -> float | None:
    """Return how many images wait or are being uploaded."""
    return registry.metrics.registry.get_sample_value("croft_queue_images")


# ------------------------------------------------------------------ answers


def test_the_answers_are_those_of_classify(client: TestClient) -> None:
    """For known and unknown images alike, every number is bit for bit the same."""
    images = [colour_image(name, seed=3) for name in (*KNOWN, *UNKNOWN)]
    tensors = _tensors(_ask(client, *images))
    assert list(tensors) == list(OUTPUTS)
    for i, image in enumerate(images):
        single = client.post("/classify", content=image).json()
        best = single["candidates"][0]
        assert {name: values[i] for name, values in tensors.items()} == {
            "label": single["label"] or "",
            "predicted": best["label"],
            "class_index": best["index"],
            "probability": best["probability"],
            "energy": single["energy"],
            "score": single["score"]["value"],
            "p_value": single["p_value"],
            "rejected": single["rejected"],
        }


def test_the_answer_says_which_bundle_gave_it_and_where_it_draws_the_line(
    client: TestClient, bundle: Bundle
) -> None:
    """Name, version, the caller's id, and the threshold as parameters."""
    answer = _ask(client, RED, id="a-1", outputs=[{"name": "rejected"}]).json()
    assert answer == {
        "model_name": "colours",
        "model_version": "1",
        "id": "a-1",
        "parameters": {
            "score": "energy",
            "threshold": bundle.threshold.value,
            "p_cut": bundle.threshold.p_cut,
        },
        "outputs": [{"name": "rejected", "datatype": "BOOL", "shape": [1], "data": [False]}],
    }
    assert "id" not in _ask(client, RED).json()


def test_binary_outputs_follow_the_json(client: TestClient) -> None:
    """The header says where; the type says that it is no JSON."""
    wanted = [{"name": "label"}, {"name": "energy", "parameters": {"binary_data": True}}]
    response = _ask(client, RED, WHITE, outputs=wanted)
    length = int(response.headers["Inference-Header-Content-Length"])
    assert response.headers["Content-Type"] == "application/octet-stream"
    label, energy = json.loads(response.content[:length])["outputs"]
    assert label["data"] == ["red", ""]
    assert energy["parameters"] == {"binary_data_size": 16}
    expected = _tensors(_ask(client, RED, WHITE))["energy"]
    assert np.frombuffer(response.content[length:], "<f8").tolist() == expected


def test_a_raw_body_is_one_image(client: TestClient) -> None:
    """With a header length of 0 the body is the file itself."""
    headers = {"Inference-Header-Content-Length": "0"}
    assert _tensors(client.post(INFER, content=BLUE, headers=headers))["label"] == ["blue"]


def test_a_version_can_be_named(serve: Serve, bundle: Bundle, tmp_path: Any) -> None:
    """In the path, or as /classify takes it; without one the newest answers."""
    second = load_tiny(tmp_path / "2", version="2")
    client = serve(bundle, second)
    for path, version in (
        ("/v2/models/colours", "2"),
        ("/v2/models/colours/versions/1", "1"),
        ("/v2/models/colours/versions/2", "2"),
        ("/v2/models/colours@2", "2"),
    ):
        assert _ask(client, RED, path=f"{path}/infer").json()["model_version"] == version
        assert client.get(path).json()["versions"] == ["1", "2"]
        assert client.get(f"{path}/ready").json() == {"name": "colours", "ready": True}
    index = client.post("/v2/repository/index").json()
    assert [(m["name"], m["version"], m["state"]) for m in index] == [
        ("colours", "1", "READY"),
        ("colours", "2", "READY"),
    ]


# ------------------------------------------------------------------ metadata and health


def test_the_server_is_described_under_both_spellings(client: TestClient) -> None:
    """With and without the last slash."""
    assert client.get("/v2", follow_redirects=False).json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/", follow_redirects=False).json() == client.get("/v2").json()


def test_a_model_that_failed_its_self_test_is_not_ready(serve: Serve, bundle: Bundle) -> None:
    """The model, the server and the index say so; inference gets 503."""
    test = bundle.manifest.self_test
    images = tuple(i.model_copy(update={"energy": i.energy + 1}) for i in test.images)
    spoilt = {"self_test": test.model_copy(update={"images": images})}
    client = serve(replace(bundle, manifest=bundle.manifest.model_copy(update=spoilt)))
    for path in ("/v2/health/ready", "/v2/models/colours/ready"):
        _problem(client.get(path), 503, "not-ready")
    assert client.post("/v2/repository/index").json()[0]["state"] == "UNAVAILABLE"
    _problem(_ask(client, RED), 503, "not-ready")
    assert _counted(client) == {"shed": 1}


def test_a_model_whose_encoder_only_fails_is_not_ready(serve: Serve) -> None:
    """Model, server and index say so after a few batches in a row."""
    client = serve(hook=BrokenAfterSelfTest())
    for _ in range(6):
        _problem(_ask(client, RED), 500, "encoding-failed")
    for path in ("/v2/health/ready", "/v2/models/colours/ready"):
        assert "fails on everything" in _problem(client.get(path), 503, "not-ready")
    assert client.post("/v2/repository/index").json()[0]["state"] == "UNAVAILABLE"


def test_health_follows_the_process(serve: Serve) -> None:
    """While it drains it lives but is not ready."""
    client = serve()
    assert client.get("/v2/health/ready").json() == {"live": True}
    registry_in(client).drain()
    assert client.get("/v2/health/live").json() == {"live": True}
    for path in ("/v2/health/ready", "/v2/models/colours/ready"):
        _problem(client.get(path), 503, "draining")
    _problem(_ask(client, RED), 503, "draining")


def test_liveness_fails_when_a_worker_is_stuck(serve: Serve) -> None:
    """As /healthz does."""
    gate = SelfTestThenGate()
    client = serve(hook=gate, workers=1, stall_seconds=0.1)
    asking = threading.Thread(target=lambda: _ask(client, RED))
    asking.start()
    assert gate.reached.wait(10)
    wait_until(lambda: client.get("/healthz").status_code == 503)
    response = client.get("/v2/health/live")
    gate.open.set()
    asking.join()
    assert (response.status_code, response.json()) == (503, {"live": False})


# ------------------------------------------------------------------ errors, and what is counted


def test_one_bad_image_is_named_and_the_others_are_still_counted(serve: Serve) -> None:
    """The request has no answer; received, and each outcome once, are as if sent one by one."""
    client = serve()
    error = _problem(_ask(client, RED, WHITE, RED[:-50], BLUE, b"junk"), 422, "undecodable")
    assert "Of the 5 images, counted from 0" in error
    assert "none: 2, 4. Image 2: " in error
    assert _counted(client) == {"accepted": 2, "rejected": 1, "invalid": 2}


def test_the_error_of_a_single_image_is_that_of_classify(client: TestClient) -> None:
    """With one image there is nothing to count from."""
    error = _problem(_ask(client, b"junk"), 415, "unsupported-format")
    assert error == client.post("/classify", content=b"junk").json()["error"]


def test_an_image_too_large_has_its_own_status(serve: Serve) -> None:
    """413 before a pixel is decoded."""
    client = serve(max_pixels=3000)
    error = _problem(_ask(client, RED, colour_image("red", size=90)), 413, "image-too-large")
    assert "Image 1: " in error
    assert _counted(client) == {"accepted": 1, "invalid": 1}


def test_a_failure_of_the_encoder_fails_its_image_alone(serve: Serve) -> None:
    """500 for the request; the image that the sender can mend would come first."""
    gate = SelfTestThenGate()

    def hook(pixels_BHWC: Any) -> None:
        if gate.free > 0:
            gate(pixels_BHWC)
        elif any(int(p[..., 2].mean()) > 150 for p in pixels_BHWC):  # blue, or white
            raise RuntimeError("boom")

    client = serve(hook=hook)
    assert "Image 1: " in _problem(_ask(client, RED, BLUE), 500, "encoding-failed")
    assert _counted(client) == {"accepted": 1, "failed": 1}
    assert "Image 1: " in _problem(_ask(client, BLUE, b"junk"), 415, "unsupported-format")
    assert _counted(client) == {"accepted": 1, "failed": 2, "invalid": 1}


def test_a_request_that_cannot_be_read_counts_as_one_image(serve: Serve) -> None:
    """Nobody knows how many it would have been."""
    client = serve(max_batch_images=2, max_batch_bytes=5000)
    _problem(client.post(INFER, content=b"{"), 400, "bad-request")
    _problem(_ask(client, RED, path="/v2/models/nope/infer"), 404, "unknown-bundle")
    _problem(_ask(client, RED, path="/v2/models/colours/versions/9/infer"), 404, "unknown-bundle")
    assert "at most 2" in _problem(_ask(client, RED, RED, RED), 413, "body-too-large")
    large = client.post(INFER, content=b"x" * 5001)
    assert "CROFT_MAX_BATCH_BYTES" in _problem(large, 413, "body-too-large")
    headers = {"Content-Encoding": "gzip"}
    _problem(client.post(INFER, content=b"x", headers=headers), 415, "unsupported-media")
    for length in ("x", "-1", "99"):
        headers = {"Inference-Header-Content-Length": length}
        _problem(client.post(INFER, content=b"{}", headers=headers), 400, "bad-request")
    _problem(
        client.post(INFER, json=_inputs([RED]), headers={"X-Request-Timeout": "soon"}),
        *(400, "bad-request"),
    )
    assert _counted(client) == {"invalid": 10}


def test_a_body_may_be_larger_than_that_of_one_image(serve: Serve) -> None:
    """The limit of many images holds here, that of one elsewhere."""
    client = serve(max_body_bytes=max(len(RED), len(BLUE)))
    assert _tensors(_ask(client, RED, BLUE))["label"] == ["red", "blue"]
    _problem(client.post("/classify", json=_inputs([RED, BLUE])), 413, "body-too-large")


def test_images_that_find_no_room_together_are_shed_together(serve: Serve) -> None:
    """One image waits, two places are free: three get 503, two their answers."""
    gate = SelfTestThenGate()
    client = serve(hook=gate, workers=1, queue_images=3)
    answers: list[Any] = []
    asking = []
    for count in (1, 1, 2):
        asking.append(
            threading.Thread(target=lambda n=count: answers.append(_ask(client, *[RED] * n)))
        )
    asking[0].start()
    assert gate.reached.wait(10)
    asking[1].start()
    registry = registry_in(client)
    wait_until(lambda: _waiting(registry) == 1)
    refused = _ask(client, RED, RED, RED)
    assert "no room for 3 images at once: 1 of 3" in _problem(refused, 503, "overloaded")
    assert int(refused.headers["Retry-After"]) >= 1
    assert _waiting(registry) == 1
    asking[2].start()
    wait_until(lambda: _waiting(registry) == 3)
    gate.open.set()
    for thread in asking:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert _counted(client) == {"accepted": 4, "shed": 3}
    assert _waiting(registry) == 0


def test_more_images_than_the_queue_holds_wait_for_their_turn(serve: Serve) -> None:
    """They take places as those of batches do, so that none gets 503."""
    client = serve(queue_images=2)
    assert _tensors(_ask(client, *[RED, WHITE] * 20))["label"] == ["red", ""] * 20
    assert _counted(client) == {"accepted": 20, "rejected": 20}


def test_an_image_longer_than_classify_takes_is_refused(serve: Serve) -> None:
    """By its number, before any is decided; raw, too."""
    client = serve(max_body_bytes=len(RED))
    error = _problem(_ask(client, RED, RED + b"x"), 413, "body-too-large")
    assert f"Image 1, counted from 0, has {len(RED) + 1:,} bytes; at most" in error
    assert "CROFT_MAX_BODY_BYTES" in error
    raw = {"Inference-Header-Content-Length": "0"}
    response = client.post(INFER, content=RED + b"x", headers=raw)
    assert "Image 0, " in _problem(response, 413, "body-too-large")
    assert client.post(INFER, content=RED, headers=raw).status_code == 200
    assert _counted(client) == {"accepted": 1, "invalid": 2}


def test_images_past_the_deadline_are_shed(serve: Serve) -> None:
    """504 for the request, shed for each image, and the next request is answered."""
    gate = SelfTestThenGate()
    client = serve(hook=gate, workers=1)
    headers = {"X-Request-Timeout": "0.2"}
    response = client.post(INFER, json=_inputs([RED, BLUE]), headers=headers)
    assert "longer than 0.2 s" in _problem(response, 504, "deadline-exceeded")
    assert _counted(client) == {"shed": 2}
    gate.open.set()
    assert _tensors(_ask(client, RED))["label"] == ["red"]


@pytest.mark.parametrize("when", ["upload", "answer"])
def test_a_client_that_leaves_cancels_all_its_images(bundle: Bundle, when: str) -> None:
    """Each is counted, none is encoded after it, and every place is free again."""
    gate = SelfTestThenGate()
    registry, chosen = registry_of(bundle, hook=gate, workers=1, max_batch=1)
    app = create_app(chosen, registry=registry)
    body = json.dumps(_inputs([RED] * 4)).encode()

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            engine = registry.classifiers[0].engine
            await until(lambda: engine.idle)  # a worker may still let go of a golden image
            call = Call(app, INFER, body, first=100)
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
    count = 4 if when == "answer" else 1
    assert outcomes(registry.metrics.registry) == {"cancelled": count}
    assert received(registry.metrics.registry) == count
    golden, begun = 3, 1
    encoded = registry.metrics.registry.get_sample_value("croft_batch_images_sum")
    assert encoded == golden + (begun if when == "answer" else 0)


def test_a_request_that_is_being_uploaded_when_the_process_drains_is_answered(
    bundle: Bundle,
) -> None:
    """It has its place, and all of its images get theirs."""
    registry, chosen = registry_of(bundle)
    app = create_app(chosen, registry=registry)
    body = json.dumps(_inputs([RED, WHITE, BLUE])).encode()

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            engine = registry.classifiers[0].engine
            await until(lambda: engine.idle)  # a worker may still let go of a golden image
            call = Call(app, INFER, body, first=100)
            await until(lambda: not engine.idle)
            registry.drain()
            call.upload()
            await call.task
            assert call.status == 200, call.body
            assert json.loads(call.body)["outputs"][0]["data"] == ["red", "", "blue"]

    run(scenario())


# ------------------------------------------------------------------ anything at all


@pytest.fixture(scope="module")
def robust(bundle: Bundle) -> Any:
    """Return a client that shows a 500 as a response."""
    registry, chosen = registry_of(bundle, max_batch_images=8)
    with TestClient(create_app(chosen, registry=registry), raise_server_exceptions=False) as client:
        yield client


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    at=st.integers(0, 10**6),
    change=st.integers(1, 255),
    cut=st.integers(0, 3000),
    length=st.sampled_from(["", "0", "1", "50", "120", "x", "9" * 30]),
)
def test_damaged_requests_never_get_a_5xx(
    robust: TestClient, at: int, change: int, cut: int, length: str
) -> None:
    """A flipped byte, a cut end, any header: an answer or the sender's mistake, and counted."""
    body = bytearray(json.dumps(_inputs([RED, WHITE])).encode())
    body[at % len(body)] ^= change
    headers = {"Inference-Header-Content-Length": length} if length else {}
    response = robust.post(INFER, content=bytes(body[: len(body) - cut]), headers=headers)
    assert response.status_code in {200, 400, 413, 415, 422}, response.text
    _counted(robust)
