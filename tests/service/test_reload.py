"""Bundles are replaced under traffic: all or nothing, and nobody's request fails."""

import asyncio
import gc
import json
import shutil
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from models.bundle import MANIFEST, Bundle
from models.encoder import Encoder, OnnxEncoder
from service.app import create_app
from service.errors import Draining, ReloadFailed, ReloadRunning
from service.loading import read_bundles
from service.registry import Registry
from service.reload import Reloader
from service.settings import Settings
from tests.bundles import colour_image, load_tiny, tiny_bundle
from tests.service.fakes import HookedEncoder, registry_at, registry_of, run, until

RED = colour_image("red")
VERSION = {"bundle": "colours", "version": "1"}


@contextmanager
def _client(registry: Registry) -> Iterator[TestClient]:
    app = create_app(registry.settings, registry=registry)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def _spoil_golden(directory: Path) -> None:
    """Change what a golden image must give."""
    fields = json.loads((directory / MANIFEST).read_text())
    fields["self_test"]["images"][0]["energy"] += 1.0
    (directory / MANIFEST).write_text(json.dumps(fields))


def _answered_by(client: TestClient, bundle: str | None = None) -> str:
    params = {} if bundle is None else {"bundle": bundle}
    answer = client.post("/classify", content=RED, params=params)
    return str(answer.json().get("bundle", answer.json().get("type")))


# ------------------------------------------------------------------ what a reload does


def test_a_reload_tells_what_it_did(tmp_path: Path) -> None:
    """Added, changed, kept, removed; names without a version mean the newest that is loaded."""
    tiny_bundle(tmp_path / "a" / "1", name="a")
    tiny_bundle(tmp_path / "b" / "1", name="b")
    tiny_bundle(tmp_path / "c" / "1", name="c")
    with _client(registry_at(tmp_path)) as client:
        unchanged = client.post("/bundles/reload").json()
        assert unchanged == {
            "added": [],
            "changed": [],
            "kept": ["a@1", "b@1", "c@1"],
            "removed": [],
        }
        tiny_bundle(tmp_path / "a" / "2", name="a", version="2")
        shutil.rmtree(tmp_path / "b")
        tiny_bundle(tmp_path / "b" / "1", name="b", score="msp")
        shutil.rmtree(tmp_path / "c")
        tiny_bundle(tmp_path / "d", name="d")
        response = client.post("/bundles/reload")
        assert response.status_code == 200
        assert response.json() == {
            "added": ["a@2", "d@1"],
            "changed": ["b@1"],
            "kept": [],
            "removed": ["a@1", "c@1"],
        }
        assert _answered_by(client) == _answered_by(client, "a") == "a@2"
        assert _answered_by(client, "a@1") == "urn:croft:problem:unknown-bundle"
        assert client.get("/bundles/b").json()["score"] == "msp"
        assert client.get("/readyz").json()["bundles"] == ["a@2", "b@1", "d@1"]


def test_several_versions_are_served_beside_each_other(tmp_path: Path) -> None:
    """The first path is the default; a name alone is its newest version, and not the default."""
    for version in ("9", "10"):
        tiny_bundle(tmp_path / version, version=version)
    with _client(registry_at(tmp_path / "9", tmp_path)) as client:
        assert _answered_by(client) == "colours@9"
        assert _answered_by(client, "colours") == "colours@10"
        assert _answered_by(client, "colours@9") == "colours@9"


@pytest.mark.parametrize("file", ["head.safetensors", MANIFEST])
def test_a_bundle_that_cannot_be_trusted_changes_nothing(tmp_path: Path, file: str) -> None:
    """409 names the file and the field; the old set answers, also to what was sound and new."""
    tiny_bundle(tmp_path / "1")
    with _client(registry_at(tmp_path)) as client:
        tiny_bundle(tmp_path / "2", version="2")
        tiny_bundle(tmp_path / "other", name="other")
        if file == MANIFEST:
            text = (tmp_path / "2" / MANIFEST).read_text()
            (tmp_path / "2" / MANIFEST).write_text(text.replace('"tuning"', '"tunning"'))
        else:
            (tmp_path / "2" / file).write_bytes(b"x")
        response = client.post("/bundles/reload")
        problem = response.json()
        assert (response.status_code, problem["type"]) == (409, "urn:croft:problem:reload-failed")
        assert f"{tmp_path / '2' / file}" in problem["detail"]
        assert "field `" in problem["detail"]
        assert "the bundles loaded before go on answering" in problem["detail"]
        assert _answered_by(client) == "colours@1"
        assert _answered_by(client, "other") == "urn:croft:problem:unknown-bundle"
        assert client.get("/readyz").status_code == 200
        metrics = client.get("/metrics").text
        assert 'croft_reloads_total{outcome="failed"} 1.0' in metrics
        assert 'version="2"' not in metrics


def test_a_bundle_that_fails_its_self_test_changes_nothing(tmp_path: Path) -> None:
    """409 names the golden image; the encoder that was opened for it is closed again."""
    tiny_bundle(tmp_path / "1")
    registry = registry_at(tmp_path)
    with _client(registry) as client:
        tiny_bundle(tmp_path / "2", version="2", graph_seed=1)
        _spoil_golden(tmp_path / "2")
        response = client.post("/bundles/reload")
        assert response.status_code == 409
        assert "Bundle colours@2: golden image golden/red.jpg has energy" in response.text
        assert _answered_by(client) == "colours@1"
        assert len(registry.engines) == 1
        assert sum(t.name.startswith("worker") for t in threading.enumerate()) == 2


def test_a_failed_self_test_can_be_a_warning(tmp_path: Path) -> None:
    """With CROFT_SELF_TEST=warn the bundle comes in, as it would at the start."""
    tiny_bundle(tmp_path / "1")
    with _client(registry_at(tmp_path, self_test="warn")) as client:
        tiny_bundle(tmp_path / "2", version="2")
        _spoil_golden(tmp_path / "2")
        assert client.post("/bundles/reload").json()["added"] == ["colours@2"]
        assert "golden/red.jpg" in client.get("/readyz").json()["warnings"][0]
        assert _answered_by(client) == "colours@2"


def test_a_sound_version_makes_an_unready_service_ready(tmp_path: Path) -> None:
    """What failed its self-test at the start is healed by a reload, without a restart."""
    tiny_bundle(tmp_path / "1")
    _spoil_golden(tmp_path / "1")
    with _client(registry_at(tmp_path)) as client:
        assert client.get("/readyz").status_code == 503
        tiny_bundle(tmp_path / "2", version="2")
        assert client.post("/bundles/reload").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert "croft_ready 1.0" in client.get("/metrics").text


def test_two_bundles_of_one_name_and_version_are_refused(tmp_path: Path) -> None:
    """The message says where both lie."""
    tiny_bundle(tmp_path / "x" / "1")
    (tmp_path / "y").mkdir()
    tiny_bundle(tmp_path / "y" / "1", name="other")
    with _client(registry_at(tmp_path / "x", tmp_path / "y")) as client:
        tiny_bundle(tmp_path / "y" / "2", score="msp")
        detail = client.post("/bundles/reload").json()["detail"]
    assert "colours@1" in detail
    assert f"{tmp_path / 'y' / '2'}" in detail


# ------------------------------------------------------------------ metrics


def test_what_a_removed_bundle_is_vanishes_and_what_it_counted_stays(tmp_path: Path) -> None:
    """Sums over all bundles never fall; every series of the new one starts at zero."""
    tiny_bundle(tmp_path / "1")
    registry = registry_at(tmp_path)
    value = registry.metrics.registry.get_sample_value
    with _client(registry) as client:
        assert client.post("/classify", content=RED).status_code == 200
        tiny_bundle(tmp_path / "2", version="2", score="msp")
        client.post("/bundles/reload")
        text = client.get("/metrics").text
    information = [line for line in text.splitlines() if line.startswith("croft_bundle_info{")]
    assert len(information) == 1
    assert 'score="msp"' in information[0]
    for gauge in ("calibration_images", "calibration_rank", "expected_rejection_rate", "alpha"):
        assert value(f"croft_{gauge}", VERSION) is None
        assert value(f"croft_{gauge}", VERSION | {"version": "2"})
    assert value("croft_images_total", VERSION | {"outcome": "accepted"}) == 1
    assert value("croft_images_total", VERSION | {"version": "2", "outcome": "accepted"}) == 0
    assert value("croft_p_value_count", VERSION) == 1
    assert value("croft_images_received_total") == 1


def test_a_changed_bundle_is_described_as_it_is_now(tmp_path: Path) -> None:
    """One name and version has one line of information, before and after."""
    tiny_bundle(tmp_path / "1")
    with _client(registry_at(tmp_path / "1")) as client:
        shutil.rmtree(tmp_path / "1")
        tiny_bundle(tmp_path / "1", method="conformal")
        client.post("/bundles/reload")
        lines = client.get("/metrics").text.splitlines()
    (line,) = (line for line in lines if line.startswith("croft_bundle_info{"))
    assert 'method="conformal"' in line


# ------------------------------------------------------------------ engines


class _Openings:
    """Opens encoders, remembers in which thread, and lets a test hold those of one version."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.encoders: list[weakref.ref[Encoder]] = []
        self.held: dict[int, threading.Event] = {}
        self.waiting = 0

    def __call__(self, bundle: Bundle) -> Encoder:
        index = len(self.threads)
        self.threads.append(threading.current_thread())

        def hook(_pixels_BHWC: NDArray[np.uint8]) -> None:
            if index in self.held:
                self.waiting += 1
                assert self.held[index].wait(20)

        encoder = HookedEncoder(OnnxEncoder(bundle.encoder_path), hook)
        self.encoders.append(weakref.ref(encoder))
        return encoder


def _registry_opened_by(openings: _Openings, path: Path) -> Registry:
    settings = Settings(bundles=(path,), workers=1, queue_images=2)
    bundles = read_bundles(settings, known={})
    return Registry(bundles, settings=settings, open_encoder=openings)


def test_bundles_of_one_encoder_share_it_across_reloads(tmp_path: Path) -> None:
    """The encoder is opened once, and the queue goes on."""
    tiny_bundle(tmp_path / "1")
    openings = _Openings()
    registry = _registry_opened_by(openings, tmp_path)
    (engine,) = registry.engines
    with _client(registry) as client:
        tiny_bundle(tmp_path / "2", version="2")
        tiny_bundle(tmp_path / "other", name="other")
        client.post("/bundles/reload")
        assert _answered_by(client) == "colours@2"
        assert _answered_by(client, "other") == "other@1"
    assert len(openings.threads) == 1
    assert list(registry.engines) == [engine]


async def _submit(registry: Registry) -> Any:
    """Begin a request with the bundle of this moment; return who answers, and the answer."""
    classifier = registry.find(None)
    deadline = time.monotonic() + 20
    with classifier.engine.reserve(len(RED)) as place:
        future = classifier.classify(RED, place=place, top_k=1, deadline=deadline)
    decision, _ = await future
    return classifier.reference, decision.label


def test_requests_that_began_before_the_swap_finish_with_the_old(tmp_path: Path) -> None:
    """One is being encoded, one waits; a third that comes later is answered first, by the new."""
    tiny_bundle(tmp_path / "1")
    openings = _Openings()
    registry = _registry_opened_by(openings, tmp_path)

    async def scenario() -> None:
        await registry.start()
        openings.held[0] = threading.Event()
        old = [asyncio.create_task(_submit(registry)) for _ in range(2)]
        await until(lambda: openings.waiting == 1)
        tiny_bundle(tmp_path / "2", version="2", graph_seed=1)
        done = await Reloader(registry).reload()
        assert (done.added, done.removed) == (["colours@2"], ["colours@1"])
        assert await _submit(registry) == ("colours@2", "red")
        assert not any(task.done() for task in old)
        assert registry.metrics.registry.get_sample_value("croft_queue_limit_images") == 4
        openings.held[0].set()
        assert await asyncio.gather(*old) == [("colours@1", "red")] * 2
        old.clear()
        await until(lambda: len(registry.engines) == 1)
        assert registry.metrics.registry.get_sample_value("croft_queue_limit_images") == 2
        await until(lambda: openings.encoders[0]() is None)
        await registry.close()

    gc.disable()  # what is let go must be free at once, and not when Python next looks for cycles
    try:
        run(scenario())
    finally:
        gc.enable()
    assert all(thread is not threading.main_thread() for thread in openings.threads[1:])


def test_an_old_engine_waits_for_an_upload(tmp_path: Path) -> None:
    """A place that was taken before the swap is used long after it."""
    tiny_bundle(tmp_path / "1")
    registry = registry_at(tmp_path)

    async def scenario() -> None:
        await registry.start()
        classifier = registry.find(None)
        with classifier.engine.reserve(len(RED)) as place:
            tiny_bundle(tmp_path / "2", version="2", graph_seed=1)
            await Reloader(registry).reload()
            await asyncio.sleep(0.3)
            future = classifier.classify(RED, place=place, top_k=1, deadline=time.monotonic() + 9)
        decision, _ = await future
        assert decision.label == "red"
        await until(lambda: len(registry.engines) == 1)
        await registry.close()

    run(scenario())


def test_a_new_bundle_is_tested_although_others_keep_the_queue_full(tmp_path: Path) -> None:
    """Its golden images wait for a place; to be without one is no failure."""
    tiny_bundle(tmp_path / "1")
    openings = _Openings()
    registry = _registry_opened_by(openings, tmp_path)

    async def scenario() -> None:
        await registry.start()
        openings.held[0] = threading.Event()
        first = asyncio.create_task(_submit(registry))
        await until(lambda: openings.waiting == 1)
        others = [asyncio.create_task(_submit(registry)) for _ in range(2)]
        tiny_bundle(tmp_path / "other", name="other")
        reload = asyncio.create_task(Reloader(registry).reload())
        await asyncio.sleep(0.3)
        assert not reload.done()
        openings.held[0].set()
        assert (await reload).added == ["other@1"]
        await asyncio.gather(first, *others)
        await registry.close()

    run(scenario())


# ------------------------------------------------------------------ one at a time, and the end


def test_one_reload_at_a_time(tmp_path: Path) -> None:
    """A second one is refused; a signal's takes its turn afterwards."""
    tiny_bundle(tmp_path / "1")
    registry = registry_at(tmp_path)
    reloads = registry.metrics.reloads

    async def scenario() -> None:
        await registry.start()
        reloader = Reloader(registry)
        first = asyncio.create_task(reloader.reload())
        await asyncio.sleep(0)
        with pytest.raises(ReloadRunning, match="Try again"):
            await reloader.reload()
        tiny_bundle(tmp_path / "2", version="2")
        await reloader.reload_when_free()
        await first
        assert registry.find(None).reference == "colours@2"
        await registry.close()

    run(scenario())
    assert reloads.labels("done")._value.get() == 2


def test_the_route_refuses_a_second_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """409, of a type of its own."""
    tiny_bundle(tmp_path / "1")
    registry = registry_at(tmp_path)
    reading, read_on = threading.Event(), threading.Event()
    draft = registry.draft

    def slow_draft() -> Any:
        reading.set()
        assert read_on.wait(20)
        return draft()

    monkeypatch.setattr(registry, "draft", slow_draft)
    with _client(registry) as client:
        statuses: list[int] = []
        first = threading.Thread(
            target=lambda: statuses.append(client.post("/bundles/reload").status_code)
        )
        first.start()
        assert reading.wait(10)
        assert _answered_by(client) == "colours@1"
        second = client.post("/bundles/reload")
        read_on.set()
        first.join()
    assert (second.status_code, second.json()["type"]) == (409, "urn:croft:problem:reload-running")
    assert statuses == [200]


def test_a_process_that_ends_loads_nothing(tmp_path: Path) -> None:
    """503 while it drains; what was opened is closed."""
    tiny_bundle(tmp_path / "1")
    registry = registry_at(tmp_path)

    async def scenario() -> None:
        await registry.start()
        tiny_bundle(tmp_path / "2", version="2", graph_seed=1)
        registry.drain()
        with pytest.raises(Draining, match="shutting down"):
            await Reloader(registry).reload()
        assert len(registry.engines) == 1
        await registry.close()

    run(scenario())


def test_draining_is_503_on_the_route(tmp_path: Path) -> None:
    """And the connection is closed, for a later request would find nobody."""
    registry, settings = registry_of(load_tiny(tmp_path / "1"), bundles=(tmp_path / "1",))
    with TestClient(create_app(settings, registry=registry)) as client:
        registry.drain()
        response = client.post("/bundles/reload")
    assert (response.status_code, response.headers["Connection"]) == (503, "close")


def test_a_failed_reload_of_a_signal_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for its answer."""
    registry, _ = registry_of(load_tiny(tmp_path / "1"), bundles=(tmp_path / "gone",))

    async def scenario() -> None:
        await registry.start()
        with pytest.raises(ReloadFailed, match="gone: no bundle there"):
            await Reloader(registry).reload()
        await Reloader(registry).reload_when_free()
        await registry.close()

    run(scenario())
    assert "bundles were not reloaded" in caplog.text
