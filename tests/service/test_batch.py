"""``POST /classify/batch``: every image on its own merits, in bounded memory, all accounted for."""

import base64
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from models.bundle import Bundle
from service.app import create_app
from tests.bundles import colour_image
from tests.service.conftest import Serve
from tests.service.counting import assert_settled, outcomes, received
from tests.service.fakes import BrokenAfterSelfTest, registry_in, registry_of
from tests.service.test_archive import zip_of

RED, WHITE, BLUE = colour_image("red"), colour_image("white"), colour_image("blue")
MIXED = [RED, b"junk", WHITE, b"", RED[:-100], BLUE, b"GIF89a", RED]
PATH = "/classify/batch"
NDJSON = {"Accept": "application/x-ndjson"}


@pytest.fixture
def batches(serve: Serve) -> Iterator[TestClient]:
    """Return a client; whatever a test does, every image has one outcome in the end."""
    client = serve()
    yield client
    assert_settled(registry_in(client).metrics.registry)


def _form(images: list[bytes]) -> dict[str, Any]:
    return {"files": [("file", (f"{i}.jpg", data)) for i, data in enumerate(images)]}


def _zip(images: list[bytes]) -> dict[str, Any]:
    content = zip_of(("folder/", b""), *((f"{i}.jpg", data) for i, data in enumerate(images)))
    return {"content": content, "headers": {"Content-Type": "application/zip"}}


def _json(images: list[bytes]) -> dict[str, Any]:
    items = [
        {"b64": base64.b64encode(data).decode(), "id": f"{i}.jpg"} for i, data in enumerate(images)
    ]
    return {"json": {"images": items}}


FORMS = {"form": _form, "zip": _zip, "json": _json}


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def _alone(client: TestClient, data: bytes) -> dict[str, Any]:
    """Return the item that an image must become, from what ``/classify`` says of it."""
    response = client.post("/classify", content=data)
    body = response.json()
    if response.status_code == 200:
        return {"status": 200, **_without(body, "request_id", "bundle")}
    problem = _without(body, "request_id", "instance")
    return {"status": response.status_code, "problem": problem}


def _same(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item without what tells where it was asked for."""
    kept = _without(item, "index", "name")
    if "problem" in kept:
        kept["problem"] = _without(kept["problem"], "request_id", "instance")
    return kept


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_image_is_answered_as_if_alone(batches: TestClient, form: Any) -> None:
    """Fine and broken together: status, decision and problem are those of ``/classify``."""
    response = batches.post(PATH, **form(MIXED))
    assert response.status_code == 200, response.text
    body = response.json()
    assert list(body) == ["request_id", "bundle", "items", "counts"]
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert body["bundle"] == "colours@1"
    assert [(item["index"], item["name"]) for item in body["items"]] == [
        (i, f"{i}.jpg") for i in range(len(MIXED))
    ]
    counts = {"images": 8, "accepted": 3, "rejected": 1, "invalid": 4, "failed": 0, "shed": 0}
    assert body["counts"] == counts
    seen = outcomes(registry_in(batches).metrics.registry)
    assert seen == {"accepted": 3, "rejected": 1, "invalid": 4}
    for item, data in zip(body["items"], MIXED, strict=True):
        assert _same(item) == _alone(batches, data)
        if "problem" in item:
            assert item["problem"]["instance"] == PATH
            assert item["problem"]["request_id"] == body["request_id"]


def test_lines_come_with_their_index_and_a_last_one_with_the_summary(batches: TestClient) -> None:
    """NDJSON has the same items, in any order, and the counts that prove that it is complete."""
    images = MIXED * 10
    together = batches.post(PATH, **_form(images)).json()
    response = batches.post(PATH, **_form(images), headers=NDJSON)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/x-ndjson"
    *items, last = [json.loads(line) for line in response.text.splitlines()]
    ordered = sorted(items, key=lambda item: item["index"])
    assert [_same(item) for item in ordered] == [_same(item) for item in together["items"]]
    assert [item["index"] for item in ordered] == list(range(len(images)))
    assert last["summary"] == together["counts"]
    assert last["request_id"] == response.headers["X-Request-ID"]
    assert last["bundle"] == "colours@1"


def test_the_query_is_that_of_classify(batches: TestClient) -> None:
    """A bundle by name, and how many candidates; what is wrong with them refuses all."""
    body = batches.post(f"{PATH}?bundle=colours&top_k=2", **_form([RED])).json()
    assert len(body["items"][0]["candidates"]) == 2
    assert batches.post(f"{PATH}?bundle=nope", **_form([RED])).status_code == 404
    assert batches.post(f"{PATH}?top_k=0", **_form([RED])).status_code == 400
    assert batches.get(PATH).headers["Allow"] == "POST"
    assert outcomes(registry_in(batches).metrics.registry) == {"accepted": 1, "invalid": 2}


def test_a_batch_larger_than_the_queue_is_answered(serve: Serve) -> None:
    """Its images wait for the one place they may have, and none gets 503."""
    client = serve(queue_images=2, workers=1)
    body = client.post(PATH, **_zip([RED, WHITE] * 20)).json()
    assert body["counts"]["accepted"] == body["counts"]["rejected"] == 20
    assert_settled(registry_in(client).metrics.registry)


def test_names_are_what_was_sent_or_nothing(batches: TestClient) -> None:
    """No id is null; a long one is cut; half a character does not break the answer."""
    b64 = base64.b64encode(RED).decode()
    body = json.dumps({"images": [{"b64": b64}, {"b64": b64, "id": "x" * 999}]})
    body = body.replace("]}", ', {"b64": "", "id": "a\\ud800"}]}')
    items = batches.post(PATH, content=body, headers={"Content-Type": "application/json"}).json()
    assert [item["name"] for item in items["items"]] == [None, "x" * 255, "a?"]


# ------------------------------------------------------------------ limits


def _problem(response: Any, status: int, slug: str) -> str:
    assert response.status_code == status, response.text
    assert response.json()["type"] == f"urn:croft:problem:{slug}"
    return str(response.json()["detail"])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_number_of_images_is_limited(serve: Serve, form: Any) -> None:
    """None, or more than may be: refused as a whole, and counted as one."""
    client = serve(max_batch_images=3)
    assert client.post(PATH, **form([RED] * 3)).status_code == 200
    for images in ([RED] * 4, [RED] * 100):
        _problem(client.post(PATH, **form(images)), 413, "body-too-large")
    if form is not _form:  # a form without parts is not made by this client
        assert "has no image" in _problem(client.post(PATH, **form([])), 400, "bad-request")
    refused = 2 if form is _form else 3
    assert outcomes(registry_in(client).metrics.registry) == {"accepted": 3, "invalid": refused}
    assert_settled(registry_in(client).metrics.registry)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_large_image_is_refused_alone(serve: Serve, form: Any) -> None:
    """The limit of one image is that of ``/classify``; the body's is another."""
    client = serve(max_body_bytes=len(RED), max_batch_bytes=20_000)
    items = client.post(PATH, **form([RED + b"x", RED, RED, RED])).json()["items"]
    assert [item["status"] for item in items] == [413, 200, 200, 200]
    assert f"{len(RED) + 1:,} bytes" in items[0]["problem"]["detail"]
    detail = _problem(
        client.post(PATH, **form([RED, random.Random(0).randbytes(21_000)])), 413, "body-too-large"
    )
    assert "CROFT_MAX_B" in detail
    assert outcomes(registry_in(client).metrics.registry) == {"accepted": 3, "invalid": 2}
    assert_settled(registry_in(client).metrics.registry)


def test_the_limit_of_the_body_names_its_setting(serve: Serve) -> None:
    """What ``/classify`` refuses a batch may be, and beyond its own limit the advice differs."""
    client = serve(max_body_bytes=1000, max_batch_bytes=5000)
    headers = {"Content-Type": "application/json"}
    assert client.post(PATH, content=b" " * 2000, headers=headers).status_code == 400
    response = client.post(PATH, content=b" " * 5001, headers=headers)
    assert "5,001 bytes; at most 5,000 are read (CROFT_MAX_BATCH_BYTES)" in _problem(
        response, 413, "body-too-large"
    )
    response = client.post("/classify", content=b" " * 1001)
    assert "CROFT_MAX_BODY_BYTES" in _problem(response, 413, "body-too-large")


def test_a_zip_that_unpacks_to_too_much_is_refused(serve: Serve) -> None:
    """Four times the largest body, all files together."""
    client = serve(max_body_bytes=10_000, max_batch_bytes=10_000)
    fine = client.post(PATH, **_zip([b"\0" * 10_000] * 4))
    assert [item["status"] for item in fine.json()["items"]] == [415] * 4
    detail = _problem(client.post(PATH, **_zip([b"\0" * 10_000] * 5)), 413, "body-too-large")
    assert "unpacks to 50,000 bytes; at most 40,000" in detail


@pytest.mark.parametrize(
    ("kind", "content", "status", "slug", "says"),
    [
        ("image/jpeg", RED, 415, "unsupported-media", "holds no batch"),
        ("application/zip", b"junk", 400, "bad-request", "not a zip file"),
        ("application/zip", b"", 400, "bad-request", "not a zip file"),
        ("application/json", b"{", 400, "bad-request", "not JSON"),
        ("application/json", b"[]", 400, "bad-request", "must be"),
        ("application/json", b'{"images": {}}', 400, "bad-request", "must be"),
        ("application/json", b'{"image": {"b64": ""}}', 400, "bad-request", "must be"),
        ("application/json", b"[" * 99_999, 400, "bad-request", "not JSON"),
        ("application/json", b"[" + b"1," * 9000 + b"1]", 413, "body-too-large", "8,000 members"),
        ("multipart/form-data", b"x", 400, "bad-request", "boundary"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 400, "bad-request", "has no image"),
        ("multipart/form-data; boundary=b", b"junk", 400, "bad-request", "malformed"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut',
            400,
            "bad-request",
            "ends before",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--b--\r\n',
            400,
            "bad-request",
            "not a file",
        ),
    ],
)
def test_a_batch_of_no_sound_form_is_refused(
    batches: TestClient, kind: str, content: bytes, status: int, slug: str, says: str
) -> None:
    """As a whole, with words about what is read; how many it was is not known: one."""
    response = batches.post(PATH, content=content, headers={"Content-Type": kind})
    assert says in _problem(response, status, slug)
    assert outcomes(registry_in(batches).metrics.registry) == {"invalid": 1}


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ('{"b64": 5}', "`images[0].b64` is not given as a string"),
        ("{}", "`images[0].b64` is not given as a string"),
        ("7", "`images[0].b64` is not given as a string"),
        ('{"b64": "%%"}', "`images[0].b64` is not base64"),
        ('{"b64": "aGk=", "id": 5}', "`images[0].id` is not a string"),
        ('{"url": "http://10.0.0.1/cat.jpg"}', "`images[0].b64` is not given as a string"),
    ],
)
def test_a_member_that_is_no_image_is_its_own_trouble(
    batches: TestClient, item: str, says: str
) -> None:
    """400 for this one, as ``/classify`` would have said; the next one is answered."""
    b64 = base64.b64encode(RED).decode()
    body = f'{{"images": [{item}, {{"b64": "{b64}"}}]}}'
    response = batches.post(PATH, content=body, headers={"Content-Type": "application/json"})
    first, second = response.json()["items"]
    assert (first["status"], second["status"]) == (400, 200)
    assert says in first["problem"]["detail"]


# ------------------------------------------------------------------ faults


def test_a_fault_of_one_image_tells_nothing_but_the_request_id(bundle: Bundle) -> None:
    """500 for each image that the encoder fails on, 200 for the batch."""
    registry, chosen = registry_of(bundle, hook=BrokenAfterSelfTest("secret /srv/path"))
    app = create_app(chosen, registry=registry)
    with TestClient(app) as client:
        response = client.post(PATH, **_form([RED, WHITE]))
    assert response.status_code == 200
    assert [item["status"] for item in response.json()["items"]] == [500, 500]
    assert "secret" not in response.text
    assert outcomes(registry.metrics.registry) == {"failed": 2}
    assert_settled(registry.metrics.registry)


def test_a_bug_in_the_route_is_a_problem_and_every_image_failed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with the batch as a whole, its images are accounted for."""
    registry, chosen = registry_of(bundle)
    app = create_app(chosen, registry=registry)
    monkeypatch.setattr("service.routes.batch.problem_fields", None)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post(PATH, **_form([b"junk", RED]))
    assert response.status_code == 500
    assert response.json()["type"] == "urn:croft:problem:internal"
    assert received(registry.metrics.registry) == 2
    assert_settled(registry.metrics.registry)
