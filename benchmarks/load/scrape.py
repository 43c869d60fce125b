"""What a service says at /metrics."""

import http.client

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by name and labels."""


def scrape(port: int) -> Samples:
    """Ask the service at a port, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return samples(text)


def samples(text: str) -> Samples:
    """Return what ``/metrics`` said."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: Samples, name: str, **labels: str) -> float:
    """Return the sum of a metric over all series that have these labels."""
    return sum(
        value
        for (sample, of), value in found.items()
        if sample == name and labels.items() <= dict(of).items()
    )
