"""A real Prometheus scrapes a real service, and every dashboard query has an answer."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.bundles import KNOWN, UNKNOWN, colour_image, tiny_bundle
from tests.deploy.files import expressions, read_yaml, tool
from tests.deploy.processes import free_port, post, query, running, wait_until

pytestmark = pytest.mark.slow

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Monitored:
    """A service and the Prometheus that watches it."""

    service: str
    prometheus: str


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Both processes, after some known, unknown and broken images were sent and scraped."""
    folder = tmp_path_factory.mktemp("monitoring")
    bundle = tiny_bundle(folder / "colours")
    program, ports = tool("prometheus"), (free_port(), free_port())
    service, prometheus = (f"http://127.0.0.1:{port}" for port in ports)
    serve = [sys.executable, "-m", "croft", "serve", str(bundle), "--port", str(ports[0])]
    watch = [
        program,
        f"--config.file={_configuration(folder, target=f'127.0.0.1:{ports[0]}')}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{ports[1]}",
    ]
    with (
        running(serve, ready=f"{service}/readyz", log=folder / "service.log"),
        running(watch, ready=f"{prometheus}/-/ready", log=folder / "prometheus.log"),
    ):
        # A counter's growth is seen only from the second scrape on.
        wait_until(lambda: _total(prometheus, "count_over_time(croft_ready[1m])") >= 2)
        _send(service)
        wait_until(lambda: _total(prometheus, "croft_images_received_total") >= _sent())
        wait_until(lambda: _total(prometheus, "rate(croft_images_received_total[10s])") > 0)
        yield Monitored(service, prometheus)


def _configuration(folder: Path, *, target: str) -> Path:
    """Write the shipped configuration with a faster scrape, of one service on this machine."""
    content = read_yaml("deploy/prometheus/prometheus.yml")
    content["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = [job for job in content["scrape_configs"] if job["job_name"] == "croft"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(content | {"scrape_configs": [job]}))
    return path


def _send(service: str) -> None:
    for seed in range(ROUNDS):
        for name in (*KNOWN, *UNKNOWN):
            body = colour_image(name, seed=seed)
            assert post(f"{service}/classify", body, media_type="image/jpeg") == 200
    assert post(f"{service}/classify", b"not an image", media_type="image/jpeg") >= 400


def _sent() -> int:
    return ROUNDS * (len(KNOWN) + len(UNKNOWN)) + 1


def _total(prometheus: str, expression: str) -> float:
    return sum(float(series["value"][1]) for series in query(prometheus, expression))


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_query_has_an_answer(monitored: Monitored, title: str, expression: str) -> None:
    """Each query of each panel finds series, and every value is a number."""
    values = [float(series["value"][1]) for series in query(monitored.prometheus, expression)]
    assert values, title
    assert all(math.isfinite(value) for value in values), title


def test_every_received_image_has_one_outcome(monitored: Monitored) -> None:
    """Counted on arrival and counted by outcome, the images are the same number."""
    received = _total(monitored.prometheus, "croft_images_received_total")
    assert received == _total(monitored.prometheus, "croft_images_total") == _sent()


def test_unknown_colours_raise_the_rejection_rate(monitored: Monitored) -> None:
    """The panel shows about the half that was unknown, far above the expected rate beside it."""
    shown = {title: expression for title, expression in expressions() if title == "Rejection rate"}
    rate = _total(monitored.prometheus, shown["Rejection rate"])
    expected = _total(monitored.prometheus, "croft_expected_rejection_rate")
    assert expected < 0.05
    assert rate == pytest.approx(len(UNKNOWN) / (len(KNOWN) + len(UNKNOWN)), abs=0.15)


def test_the_p_value_histogram_agrees_with_the_decisions(monitored: Monitored) -> None:
    """Images at or below the smallest levels are among the rejected: the two are one decision."""
    prometheus = monitored.prometheus
    rejected = _total(prometheus, 'croft_images_total{outcome="rejected"}')
    assert _total(prometheus, 'croft_p_value_bucket{le="0.02"}') <= rejected
    assert rejected <= _total(prometheus, 'croft_p_value_bucket{le="0.05"}')


def test_the_service_publishes_well_formed_metrics(monitored: Monitored) -> None:
    """Prometheus has read the service's page without an error on every scrape."""
    assert _total(monitored.prometheus, 'min_over_time(up{job="croft"}[1m])') == 1
