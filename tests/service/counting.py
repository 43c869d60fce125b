"""What a service has counted."""

from prometheus_client import CollectorRegistry

from service.metrics import OUTCOMES


def outcomes(registry: CollectorRegistry) -> dict[str, float]:
    """Return images by outcome, over all bundles, without the outcomes that never happened."""
    totals = dict.fromkeys(OUTCOMES, 0.0)
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name == "croft_images_total":
                totals[sample.labels["outcome"]] += sample.value  # type: ignore[index]
    return {outcome: total for outcome, total in totals.items() if total}


def received(registry: CollectorRegistry) -> float | None:
    """Return how many images arrived."""
    return registry.get_sample_value("croft_images_received_total")


def assert_settled(registry: CollectorRegistry) -> None:
    """Nothing is in flight: every image that arrived has one outcome, and none waits."""
    assert sum(outcomes(registry).values()) == received(registry)
    assert registry.get_sample_value("croft_queue_images") == 0
