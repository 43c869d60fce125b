"""Batches beside other requests: who goes first, who waits, who leaves, and the end."""

import asyncio
import base64
import json
import threading
from typing import Any

import pytest
from fastapi import FastAPI

from models.bundle import Bundle
from service.app import create_app
from service.registry import Registry
from tests.bundles import colour_image
from tests.service.asgi import Call
from tests.service.counting import assert_settled, outcomes
from tests.service.fakes import SelfTestThenGate, registry_of, run, until
from tests.service.test_archive import zip_of

RED, WHITE = colour_image("red"), colour_image("white")
PATH = "/classify/batch"
ZIP = {"content-type": "application/zip"}
LINES = {**ZIP, "accept": "application/x-ndjson"}


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


def _batch_call(app: FastAPI, images: int, *, lines: bool = False) -> Call:
    return Call(app, PATH, _zip(images), headers=LINES if lines else ZIP)


def _zip(images: int) -> bytes:
    return zip_of(*[("a.jpg", RED)] * images)


def _classify_call(app: FastAPI) -> Call:
    return Call(app, "/classify", RED)


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
                request = Call(app, "/classify", WHITE)
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


@pytest.mark.parametrize(("images", "before"), [(4, 4), (5, 1)])
def test_inference_of_many_images_lets_single_ones_pass(
    bundle: Bundle, images: int, before: int
) -> None:
    """Four stand in the line before who comes later; of five, but one that was in work, none."""
    hook = _Steps()
    app, registry = _app(bundle, hook, max_batch=1)
    data = [base64.b64encode(RED).decode()] * images
    tensor = {"name": "image", "datatype": "BYTES", "shape": [images], "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            inference = Call(app, "/v2/models/colours/infer", body)
            await until(lambda: hook.calls == ["r"])
            queue = registry.metrics.registry
            waiting = queue.get_sample_value("croft_queue_images") or 0
            single = Call(app, "/classify", WHITE)
            await until(lambda: (queue.get_sample_value("croft_queue_images") or 0) > waiting)
            hook.steps.release(100)
            await asyncio.gather(inference.task, single.task)
            assert (inference.status, single.status) == (200, 200)

    run(scenario())
    assert hook.calls.index("w") == before
    assert outcomes(registry.metrics.registry) == {"accepted": images, "rejected": 1}
    assert_settled(registry.metrics.registry)


def test_a_batch_leaves_places_for_others(bundle: Bundle) -> None:
    """While 100 of its images wait, it has half of the queue and no more than its window."""
    gate = SelfTestThenGate()
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
    gate = SelfTestThenGate()
    size = len(_zip(5))
    limits = {"max_body_bytes": len(RED), "max_batch_bytes": size, "queue_bytes": 2 * size}
    app, registry = _app(bundle, gate, **limits)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            batch = _batch_call(app, 5)
            await until(gate.reached.is_set)
            refused = _batch_call(app, 5)
            await refused.task
            assert refused.status == 503
            assert refused.unread
            assert b"no room for another batch" in refused.body
            assert int(refused.headers[b"retry-after"]) >= 1
            gate.open.set()
            await batch.task
            assert batch.status == 200
            again = _batch_call(app, 5)
            await again.task
            assert again.status == 200

    run(scenario())
    assert outcomes(registry.metrics.registry) == {"accepted": 10, "shed": 1}
    assert_settled(registry.metrics.registry)


def test_an_image_past_its_deadline_gets_504_and_the_batch_goes_on(bundle: Bundle) -> None:
    """The time of an image counts from its turn: those after the stall are answered."""
    gate = SelfTestThenGate()
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

    async def scenario() -> Call:
        async with app.router.lifespan_context(app):
            call = Call(app, PATH, _zip(1), first=100, headers=ZIP)
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
            call.leave()
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


def test_a_client_that_leaves_during_the_upload_is_counted_as_one(bundle: Bundle) -> None:
    """How many images it would have sent is not known; nothing is held."""
    app, registry = _app(bundle, None)

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            call = Call(app, PATH, _zip(5), first=100, headers=ZIP)
            call.leave()
            await call.task
            await until(lambda: registry.classifiers[0].engine.idle)

    run(scenario())
    assert outcomes(registry.metrics.registry) == {"cancelled": 1}
    assert_settled(registry.metrics.registry)


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
    gate = SelfTestThenGate()
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
