"""Metrics have the names, labels, zeros and buckets that dashboards rely on."""

from pathlib import Path

from starlette.testclient import TestClient

from benchmarks.load.scrape import Samples, samples
from models.bundle import Bundle
from models.decision import Candidate, Decision
from service.metrics import MAX_LABELS, OTHER, OUTCOMES, BundleMetrics, Metrics
from tests.bundles import colour_image, load_tiny
from tests.service.conftest import Serve

BUNDLE = {"bundle": "colours", "version": "1"}


def _samples(client: TestClient) -> Samples:
    return samples(client.get("/metrics").text)


def _key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_everything_is_there_before_the_first_request(serve: Serve) -> None:
    """Rates have a zero to start from, for every outcome, class, stage and bucket."""
    samples = _samples(serve())
    for outcome in OUTCOMES:
        assert samples[_key("croft_images_total", **BUNDLE, outcome=outcome)] == 0
    for label in ("red", "green", "blue"):
        for outcome in OUTCOMES[:2]:
            key = _key("croft_predictions_total", **BUNDLE, label=label, outcome=outcome)
            assert samples[key] == 0
    for stage in ("read", "queue", "decode", "encode", "decide"):
        assert samples[_key("croft_stage_seconds_count", stage=stage)] == 0
    assert samples[_key("croft_images_received_total")] == 0
    for reason in ("died", "stuck"):
        assert samples[_key("croft_worker_restarts_total", reason=reason)] == 0
    assert samples[_key("croft_request_seconds_count", route="/classify", status="200")] == 0
    assert samples[_key("croft_ready")] == 1
    assert samples[_key("croft_queue_images")] == 0


def test_a_bundle_publishes_its_promise(serve: Serve, bundle: Bundle) -> None:
    """The gauges are the numbers of the threshold block."""
    samples, threshold = _samples(serve()), bundle.threshold
    assert samples[_key("croft_calibration_images", **BUNDLE)] == threshold.n
    assert samples[_key("croft_calibration_rank", **BUNDLE)] == threshold.rank
    assert samples[_key("croft_expected_rejection_rate", **BUNDLE)] == threshold.p_cut
    assert samples[_key("croft_alpha", **BUNDLE)] == threshold.alpha


def test_p_values_fall_into_fixed_buckets(serve: Serve) -> None:
    """The levels are those of every bundle and version, exact at the usual ones."""
    client = serve()
    bounds = {
        float(dict(labels)["le"])
        for name, labels in _samples(client)
        if name == "croft_p_value_bucket"
    }
    tenths = {round(0.1 * i, 1) for i in range(1, 11)}
    assert bounds == {0.001, 0.005, 0.01, 0.02, 0.05, float("inf")} | tenths
    client.post("/classify", content=colour_image("white"))
    samples = _samples(client)
    assert samples[_key("croft_p_value_bucket", **BUNDLE, le="0.005")] == 1
    assert samples[_key("croft_p_value_bucket", **BUNDLE, le="0.001")] == 0


def test_predictions_count_the_nearest_class(serve: Serve) -> None:
    """Accepted under its label; rejected under the class it came closest to."""
    client = serve()
    best = client.post("/classify", content=colour_image("white")).json()["candidates"][0]["label"]
    client.post("/classify", content=colour_image("red"))
    samples = _samples(client)
    rejected = _key("croft_predictions_total", **BUNDLE, label=best, outcome="rejected")
    accepted = _key("croft_predictions_total", **BUNDLE, label="red", outcome="accepted")
    assert (samples[rejected], samples[accepted]) == (1, 1)


def test_many_classes_share_a_label() -> None:
    """Of 300 classes 199 keep their names; the others are counted together."""
    metrics = Metrics()
    labels = [f"class {i}" for i in range(300)]
    of_bundle = BundleMetrics(metrics, ("big", "1"), labels)
    for label in (labels[0], labels[198], labels[199], labels[299]):
        candidates = (Candidate(label, 0, 1.0),)
        of_bundle.answered(Decision(label, False, 0.0, 0.0, 0.5, candidates))
    seen = {
        sample.labels["label"]: sample.value
        for family in metrics.predictions.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["outcome"] == "accepted"
    }
    assert len(seen) == MAX_LABELS
    assert seen[labels[0]] == seen[labels[198]] == 1
    assert seen[OTHER] == 2


def test_routes_are_labels_and_paths_are_not(serve: Serve) -> None:
    """An unknown path adds no label of its own."""
    client = serve()
    client.get("/bundles/nope")
    client.get("/some/strange/path")
    client.get("/")
    routes = {
        dict(labels)["route"]
        for name, labels in _samples(client)
        if name.endswith("seconds_count") and "route" in dict(labels)
    }
    assert routes == {"/classify", "/bundles/{name}", "/", "other"}


def test_applications_do_not_share_metrics(serve: Serve, tmp_path: Path) -> None:
    """Two in one process count apart."""
    one, two = serve(), serve(load_tiny(tmp_path / "x", name="x"))
    one.post("/classify", content=colour_image("red"))
    assert _samples(one)[_key("croft_images_received_total")] == 1
    assert _samples(two)[_key("croft_images_received_total")] == 0
