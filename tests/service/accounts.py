"""The accounts of images: what was received, and what became of it."""

from prometheus_client import CollectorRegistry

from service.metrics import OUTCOMES


def outcomes(metrics: CollectorRegistry) -> dict[str, float]:
    """Return images by outcome, over all bundles, without the outcomes that never happened."""
    totals = dict.fromkeys(OUTCOMES, 0.0)
    for metric in metrics.collect():
        for sample in metric.samples:
            if sample.name == "croft_images_total":
                totals[sample.labels["outcome"]] += sample.value  # type: ignore[index]
    return {outcome: total for outcome, total in totals.items() if total}


def received(metrics: CollectorRegistry) -> float:
    """Return how many images arrived."""
    return metrics.get_sample_value("croft_images_received_total") or 0.0


def assert_settled(metrics: CollectorRegistry) -> None:
    """Nothing is in flight: every image that arrived has one outcome, and none waits."""
    assert sum(outcomes(metrics).values()) == received(metrics)
    assert metrics.get_sample_value("croft_queue_images") == 0
