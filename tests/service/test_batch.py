"""``POST /classify/batch``: every image on its own merits, in bounded memory, all accounted for."""

import asyncio
import base64
import json
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from models.bundle import Bundle
from service.app import create_app
from service.registry import Registry
from tests.bundles import colour_image
from tests.service.conftest import Serve
from tests.service.counting import assert_settled, outcomes, received
from tests.service.fakes import Gate, registry_of, run, until
from tests.service.test_archive import zip_of

RED, WHITE, BLUE = colour_image("red"), colour_image("white"), colour_image("blue")
MIXED = [RED, b"junk", WHITE, b"", RED[:-100], BLUE, b"GIF89a", RED]
PATH = "/classify/batch"
NDJSON = {"Accept": "application/x-ndjson"}


def _registry(client: TestClient) -> Registry:
    assert isinstance(client.app, FastAPI)
    registry: Registry = client.app.state.registry
    return registry


@pytest.fixture
def batches(serve: Serve) -> Iterator[TestClient]:
    """Return a client; whatever a test does, every image has one outcome in the end."""
    client = serve()
    yield client
    assert_settled(_registry(client).metrics.registry)


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
    seen = outcomes(_registry(batches).metrics.registry)
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
    assert received(_registry(batches).metrics.registry) == 1


def test_a_batch_larger_than_the_queue_is_answered(serve: Serve) -> None:
    """Its images wait for the one place they may have, and none gets 503."""
    client = serve(queue_images=2, workers=1)
    body = client.post(PATH, **_zip([RED, WHITE] * 20)).json()
    assert body["counts"]["accepted"] == body["counts"]["rejected"] == 20
    assert_settled(_registry(client).metrics.registry)


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
    """None, or more than may be: refused as a whole, and nothing counts as received."""
    client = serve(max_batch_images=3)
    assert client.post(PATH, **form([RED] * 3)).status_code == 200
    for images in ([RED] * 4, [RED] * 100):
        _problem(client.post(PATH, **form(images)), 413, "body-too-large")
    if form is not _form:  # a form without parts is not made by this client
        assert "has no image" in _problem(client.post(PATH, **form([])), 400, "bad-request")
    assert received(_registry(client).metrics.registry) == 3


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
    assert received(_registry(client).metrics.registry) == 4


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
    """As a whole, with words about what is read; nothing counts as received."""
    response = batches.post(PATH, content=content, headers={"Content-Type": kind})
    assert says in _problem(response, status, slug)
    assert received(_registry(batches).metrics.registry) == 0


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


# ------------------------------------------------------------------ scheduling


class _SelfTestThen(Gate):
    """Lets the golden images of the self-test through, then holds everything until opened."""

    def __init__(self) -> None:
        super().__init__()
        self.free = 3

    def __call__(self, pixels_BHWC: Any) -> None:
        """Wait, unless it is a golden image."""
        if self.free > 0:
            self.free -= len(pixels_BHWC)
            return
        super().__call__(pixels_BHWC)


class _Steps:
    """Lets one call through for every step, and remembers which images each call had."""

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.calls: list[str] = []
        """A letter for each image: w for white, r for another; the golden images left out."""
        self._free = 3

    def __call__(self, pixels_BHWC: Any) -> None:
        """Wait for a step, unless it is a golden image."""
        if self._free > 0:
            self._free -= len(pixels_BHWC)
            return
        self.calls.append("".join("w" if p_HWC.min() > 150 else "r" for p_HWC in pixels_BHWC))
        assert self.steps.acquire(timeout=20)


class _Call:
    """One request to an application, message by message: a client that reads when it likes."""

    def __init__(self, app: FastAPI, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.leave = asyncio.Event()
        self.read = asyncio.Event()
        """Set: the client reads; cleared: what is sent does not get away."""
        self.read.set()
        self._body: bytes | None = body
        given = {"content-length": str(len(body)), **headers}
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.task = asyncio.ensure_future(app(self._scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.read.wait()
        self.sent.append(message)

    @property
    def status(self) -> int:
        """The status, once there is one."""
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        """What has arrived of the body."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def _batch_call(app: FastAPI, images: int, *, lines: bool = False) -> _Call:
    headers = {"content-type": "application/zip", **({"accept": NDJSON["Accept"]} if lines else {})}
    return _Call(app, PATH, zip_of(*[("a.jpg", RED)] * images), headers)


def _classify_call(app: FastAPI) -> _Call:
    return _Call(app, "/classify", RED, {"content-type": "image/jpeg"})


def _app(bundle: Bundle, hook: Any, **settings: Any) -> tuple[FastAPI, Registry]:
    registry, chosen = registry_of(bundle, hook=hook, **{"workers": 1, **settings})
    return create_app(chosen, registry=registry), registry


def test_interactive_requests_overtake_a_batch(bundle: Bundle) -> None:
    """Each is in the very next call, alone, and never behind the 500 images that came before."""
    hook = _Steps()
    app, registry = _app(bundle, hook)
    queue = registry.metrics.registry

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            batch = _batch_call(app, 500)
            for i in range(10):
                await until(lambda i=i: len(hook.calls) == 2 * i + 1)  # type: ignore[misc]
                request = _Call(app, "/classify", WHITE, {"content-type": "image/jpeg"})
                # Eight of the batch wait beside the eight in work; the ninth is this one.
                await until(lambda: (queue.get_sample_value("croft_queue_images") or 0) >= 9)
                hook.steps.release(2)  # the call in work, and the next one
                await request.task
                assert request.status == 200
            hook.steps.release(1000)
            await batch.task
            assert json.loads(batch.body)["counts"]["accepted"] == 500

    run(scenario())
    assert hook.calls[1:21:2] == ["w"] * 10
    assert {*hook.calls} - {"w"} <= {"r" * n for n in range(1, 9)}
    assert_settled(registry.metrics.registry)


def test_a_batch_leaves_places_for_others(bundle: Bundle) -> None:
    """While 100 of its images wait, it has half of the queue and no more than its window."""
    gate = _SelfTestThen()
    app, registry = _app(bundle, gate, queue_images=8, max_batch=2)
    metrics = registry.metrics.registry

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            batch = _batch_call(app, 100)
            await until(gate.reached.is_set)
            await until(lambda: metrics.get_sample_value("croft_queue_images") == 2)
            more = [_batch_call(app, 100) for _ in range(3)]
            await until(lambda: metrics.get_sample_value("croft_queue_images") == 4)
            asked = [_classify_call(app) for _ in range(4)]
            await until(lambda: metrics.get_sample_value("croft_queue_images") == 8)
            gate.open.set()
            await asyncio.gather(batch.task, *(call.task for call in (*more, *asked)))
            assert {call.status for call in (batch, *more, *asked)} == {200}
            assert json.loads(batch.body)["counts"]["accepted"] == 100

    run(scenario())
    assert outcomes(metrics) == {"accepted": 404}
    assert_settled(metrics)


def test_no_room_for_the_body_is_told_before_it_is_read(bundle: Bundle) -> None:
    """503 with Retry-After; the batch that has the room goes on, and is alone in the accounts."""
    gate = _SelfTestThen()
    size = len(zip_of(*[("a.jpg", RED)] * 5))
    limits = {"max_body_bytes": len(RED), "max_batch_bytes": size, "queue_bytes": 2 * size}
    app, registry = _app(bundle, gate, **limits)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            batch = _batch_call(app, 5)
            await until(gate.reached.is_set)
            refused = _batch_call(app, 5)
            await refused.task
            assert refused.status == 503
            assert refused._body is not None
            assert b"no room for another batch" in refused.body
            assert int(dict(refused.sent[0]["headers"])[b"retry-after"]) >= 1
            gate.open.set()
            await batch.task
            assert batch.status == 200
            again = _batch_call(app, 5)
            await again.task
            assert again.status == 200

    run(scenario())
    assert outcomes(registry.metrics.registry) == {"accepted": 10}
    assert_settled(registry.metrics.registry)


def test_an_image_past_its_deadline_gets_504_and_the_batch_goes_on(bundle: Bundle) -> None:
    """The time of an image counts from its turn: those after the stall are answered."""
    gate = _SelfTestThen()
    app, registry = _app(bundle, gate, max_batch=1, request_timeout=0.3)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            batch = _batch_call(app, 20, lines=True)
            await until(lambda: len(batch.sent) >= 3)
            gate.open.set()
            await batch.task
            *items, last = [json.loads(line) for line in batch.body.splitlines()]
            assert [item["status"] for item in items[:2]] == [504, 504]
            assert "longer than 0.3 s" in items[0]["problem"]["detail"]
            assert items[-1]["status"] == 200
            shed = sum(item["status"] == 504 for item in items)
            assert (last["summary"]["shed"], last["summary"]["accepted"]) == (shed, 20 - shed)

    run(scenario())
    assert_settled(registry.metrics.registry)


def test_an_upload_that_never_ends_gets_504(bundle: Bundle) -> None:
    """The time for the body grows with its length, and has an end."""
    app, registry = _app(bundle, None, request_timeout=0.1)

    async def scenario() -> _Call:
        async with app.router.lifespan_context(app):
            call = _batch_call(app, 1)
            call._body = None  # nothing ever comes
            await call.task
            return call

    call = run(scenario())
    assert call.status == 504
    assert b"not uploaded within 0.1 s" in call.body
    assert_settled(registry.metrics.registry)


@pytest.mark.parametrize("lines", [True, False])
def test_a_client_that_leaves_cancels_the_rest(bundle: Bundle, lines: bool) -> None:
    """What was not decided is counted as cancelled, its places are free, the next is served."""
    hook = _Steps()
    app, registry = _app(bundle, hook, max_batch=4)
    metrics = registry.metrics.registry

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            call = _batch_call(app, 50, lines=lines)
            await until(lambda: bool(hook.calls))
            hook.steps.release()
            await until(lambda: outcomes(metrics).get("accepted", 0) > 0)
            call.leave.set()
            await call.task
            hook.steps.release(100)
            await until(lambda: registry.classifiers[0].engine.idle)
            after = _classify_call(app)
            await after.task
            assert after.status == 200

    run(scenario())
    counted = outcomes(metrics)
    assert counted["accepted"] + counted["cancelled"] == 51
    assert counted["cancelled"] >= 50 - 2 * 4
    assert_settled(metrics)


def test_a_client_that_leaves_during_the_upload_sent_no_images(bundle: Bundle) -> None:
    """Nothing was received, nothing is held."""
    app, registry = _app(bundle, None)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            call = _batch_call(app, 5)
            call._body = None
            call.leave.set()
            await call.task
            await until(lambda: registry.classifiers[0].engine.idle)

    run(scenario())
    assert received(registry.metrics.registry) == 0


def test_a_reader_that_stops_is_not_computed_for(bundle: Bundle) -> None:
    """No more is decided than was read, plus the window; when it reads on, all of it arrives."""
    app, registry = _app(bundle, None, max_batch=2)
    metrics = registry.metrics.registry
    window = registry.classifiers[0].engine.batch_window

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            call = _batch_call(app, 300, lines=True)
            await until(lambda: len(call.sent) > 10)
            call.read.clear()
            await until(lambda: metrics.get_sample_value("croft_queue_images") == 0)
            await asyncio.sleep(0.2)
            stopped = outcomes(metrics)["accepted"]
            assert stopped <= len(call.sent) + window
            await asyncio.sleep(0.2)
            assert outcomes(metrics)["accepted"] == stopped
            call.read.set()
            await call.task
            assert call.body.count(b"\n") == 301

    run(scenario())
    assert outcomes(metrics) == {"accepted": 300}
    assert_settled(metrics)


# ------------------------------------------------------------------ the end


def test_a_batch_in_flight_is_finished_while_draining(bundle: Bundle) -> None:
    """Its images were let in with it; a new batch is sent away."""
    gate = _SelfTestThen()
    app, registry = _app(bundle, gate)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            call = _batch_call(app, 100)
            await until(gate.reached.is_set)
            registry.drain()
            refused = _batch_call(app, 1)
            await refused.task
            assert refused.status == 503
            assert b"urn:croft:problem:draining" in refused.body
            waiting = asyncio.create_task(registry.finished())
            gate.open.set()
            await waiting
            await call.task
            assert json.loads(call.body)["counts"]["accepted"] == 100

    run(scenario())
    assert_settled(registry.metrics.registry)


def test_the_end_of_draining_is_told_for_each_image(bundle: Bundle) -> None:
    """What was decided is sent, the rest says that the process ends: half an answer is no loss."""
    hook = _Steps()
    app, registry = _app(bundle, hook, max_batch=4)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            call = _batch_call(app, 100)
            await until(lambda: bool(hook.calls))
            registry.drain()
            registry.shed_batches()
            hook.steps.release(100)
            await call.task
            assert call.status == 200
            items = json.loads(call.body)["items"]
            unreached = [item for item in items if item["status"] == 503]
            assert len(unreached) >= 100 - 2 * 4
            assert sum(item["status"] == 200 for item in items) >= len(hook.calls[0])
            assert unreached[0]["problem"]["type"] == "urn:croft:problem:draining"

    run(scenario())
    assert_settled(registry.metrics.registry)


def test_a_fault_of_one_image_tells_nothing_but_the_request_id(bundle: Bundle) -> None:
    """500 for each image that the encoder fails on, 200 for the batch."""
    hook = _SelfTestThen()

    def broken(pixels_BHWC: Any) -> None:
        if hook.free <= 0:
            raise RuntimeError("secret /srv/path")
        hook(pixels_BHWC)

    app, registry = _app(bundle, broken)
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
    app, registry = _app(bundle, None)
    monkeypatch.setattr("service.routes.batch.problem_body", None)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post(PATH, **_form([b"junk", RED]))
    assert response.status_code == 500
    assert response.json()["type"] == "urn:croft:problem:internal"
    assert received(registry.metrics.registry) == 2
    assert_settled(registry.metrics.registry)
