"""A real Prometheus watches a real service: every query and rule has an answer, the right one.

The shipped rules look back an hour and a day; here these are ``WINDOWS``.
"""

import http.client
import io
import json
import math
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from benchmarks.boards.grafana import substitute
from benchmarks.boards.prometheus import Windows, query, rules_of, watching
from benchmarks.processes import free_port, running, wait_until
from croft.traffic import classify
from tests.bundles import KNOWN, UNKNOWN, colour_image, tiny_bundle
from tests.deploy.files import ROOT, annotations, expressions, records, rules, tool

pytestmark = pytest.mark.slow

WINDOWS = Windows(hour="20s", day="120s")
EXPECTED = 9 / 301
"""The share of known images that the tiny bundle rejects on average."""


def _alerts(names: str) -> str:
    return f'ALERTS{{alertname=~"{names}",alertstate="firing"}}'


OPEN_SET_TRAFFIC = {
    # More than an hour of them: what follows is compared with nothing else.
    "known": "bundle:croft_answered:increase1d_before",
    "shifted": (
        "bundle:croft_rejection:ratio1h > 0.2 and on () "
        f"count({_alerts('CroftDrift|CroftRejectionRateJump')}) == 2"
    ),
    "unknown": (
        "bundle:croft_rejection:ratio1h > 0.999 and on () "
        f"({_alerts('CroftRejectionSpikeInClass')})"
    ),
}
"""What is sent, one after the other, and how long: until Prometheus finds this."""


@dataclass(slots=True)
class Monitored:
    """A service and the Prometheus that watches it, and what was sent."""

    service: str
    prometheus: str
    sent: int = 0
    rejected: dict[str, float] = field(default_factory=dict)
    """The share that was rejected, by kind of traffic."""
    ended: dict[str, float] = field(default_factory=dict)
    """When each kind of traffic ended, in seconds since 1970."""

    def series(self, expression: str, *, after: str = "unknown") -> list[dict[str, Any]]:
        """Return what the expression finds at the end of a kind of traffic."""
        return query(self.prometheus, expression, at=self.ended[after])

    def value(self, expression: str, *, after: str = "unknown") -> float:
        """Return the sum of the values of these series."""
        return _total(self.series(expression, after=after))

    def firing(self, *, after: str) -> set[str]:
        """Return the open-set alerts that fire at the end of a kind of traffic."""
        return {
            series["metric"]["alertname"]
            for series in self.series(_alerts("CroftRejection.*|CroftDrift"), after=after)
        }

    def stream(self, kind: str, images: Iterator[bytes], *, enough: str) -> None:
        """Classify images, one after the other, until Prometheus finds ``enough``."""
        rejected: list[bool] = []
        deadline = time.monotonic() + 90
        address = urllib.parse.urlsplit(self.service).netloc
        with closing(http.client.HTTPConnection(address)) as connection:
            while not query(self.prometheus, enough):
                assert time.monotonic() < deadline, f"{len(rejected)} of {kind} were not enough"
                for _ in range(20):
                    connection.request("POST", "/classify", next(images))
                    rejected.append(json.load(connection.getresponse())["rejected"])
        self.sent += len(rejected)
        self.rejected[kind] = sum(rejected) / len(rejected)
        wait_until(self._settled, pause=0.2)
        self.ended[kind] = time.time()

    def _settled(self) -> bool:
        """Whether all was scraped three seconds ago, and rules have been evaluated since."""
        scraped = f"sum(min_over_time(croft_images_received_total[3s])) == {self.sent}"
        return bool(query(self.prometheus, f"{scraped} and on () min_over_time(up[3s]) == 1"))


def _total(series: list[dict[str, Any]]) -> float:
    return sum(float(one["value"][1]) for one in series)


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Both processes, after known, shifted, unknown and broken images were sent and scraped."""
    folder = tmp_path_factory.mktemp("monitoring")
    bundle = tiny_bundle(folder / "colours")
    program, port = tool("prometheus"), free_port()
    service = f"http://127.0.0.1:{port}"
    serve = [sys.executable, "-m", "croft", "serve", str(bundle), "--port", str(port)]
    with (
        running(serve, ready=f"{service}/readyz", log=folder / "service.log"),
        watching([f"127.0.0.1:{port}"], WINDOWS, program=program, folder=folder) as prometheus,
    ):
        # A counter's growth is seen only from the second scrape on.
        wait_until(
            lambda: _total(query(prometheus, "count_over_time(croft_ready[1m])")) >= 2, pause=0.2
        )
        assert classify(port, "nothing", "none", b"not an image").status == 415
        watched = Monitored(service, prometheus, sent=1)
        for kind, enough in OPEN_SET_TRAFFIC.items():
            watched.stream(kind, _images(kind), enough=enough)
        yield watched


def _images(kind: str) -> Iterator[bytes]:
    """Yield different images for ever."""
    for seed in count(1000):
        for colour in UNKNOWN if kind == "unknown" else KNOWN:
            image = colour_image(colour, seed=seed)
            yield _darker(image) if kind == "shifted" else image


def _darker(image: bytes) -> bytes:
    buffer = io.BytesIO()
    ImageEnhance.Brightness(Image.open(io.BytesIO(image))).enhance(0.7).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_query_has_an_answer(monitored: Monitored, title: str, expression: str) -> None:
    """Each query of each panel finds series, and every value is a number."""
    _assert_finite(monitored.series(expression), title)


def test_a_new_bundle_is_marked(monitored: Monitored) -> None:
    """A bundle that was not there five minutes ago is marked as loaded, and not as removed."""
    marks = dict(annotations())
    (loaded,) = monitored.series(marks["Bundle loaded"])
    assert loaded["metric"] == {"bundle": "colours", "version": "1"}
    assert monitored.series(marks["Bundle removed"]) == []


@pytest.mark.parametrize(("name", "expression"), list(records().items()))
def test_a_recording_rule_has_an_answer(monitored: Monitored, name: str, expression: str) -> None:
    """Each rule finds series, with its own windows unless it asks for what was an hour ago."""
    asked = WINDOWS.shorten(expression) if "offset" in expression else expression
    _assert_finite(monitored.series(asked), name)
    _assert_finite(monitored.series(name), name)


def _assert_finite(series: list[dict[str, Any]], name: str) -> None:
    assert series, name
    assert all(math.isfinite(float(one["value"][1])) for one in series), name


def test_every_rule_is_evaluated_without_an_error(monitored: Monitored) -> None:
    """Prometheus has loaded every rule and found no two series where one was meant."""
    loaded = rules_of(monitored.prometheus)
    assert {rule["name"] for rule in loaded} == {r.get("record") or r["alert"] for r in rules()}
    assert {rule["health"] for rule in loaded} == {"ok"}


def test_every_received_image_has_one_outcome(monitored: Monitored) -> None:
    """Counted on arrival and counted by outcome, the images are the same number."""
    received = monitored.value("croft_images_received_total")
    assert received == monitored.value("croft_images_total") == monitored.sent


def test_known_images_are_rejected_as_expected(monitored: Monitored) -> None:
    """The rate is what the answers said, inside its band, the distance in its limit: no alert."""
    rate = monitored.value("bundle:croft_rejection:ratio1h", after="known")
    assert rate == pytest.approx(monitored.rejected["known"], abs=0.03)
    assert monitored.value("bundle:croft_rejection_expected:ratio", after="known") == pytest.approx(
        EXPECTED
    )
    lower, upper, distance, limit = (
        monitored.value(name, after="known")
        for name in (
            "bundle:croft_rejection_lower:ratio1h",
            "bundle:croft_rejection_upper:ratio1h",
            "bundle:croft_p_value_distance:max1h",
            "bundle:croft_p_value_distance_limit:max1h",
        )
    )
    assert lower <= rate <= upper < 0.2
    assert distance < limit
    assert monitored.firing(after="known") == set()


def test_shifted_images_drift(monitored: Monitored) -> None:
    """Darker images have smaller p-values, more are rejected, and three alerts fire."""
    assert monitored.value(
        "bundle:croft_p_value_distance:max1h > bundle:croft_p_value_distance_limit:max1h",
        after="shifted",
    )
    assert monitored.value("bundle:croft_rejection_jump:sd", after="shifted") > 5
    before = monitored.value("bundle:croft_rejection_before:ratio1d", after="shifted")
    assert before == pytest.approx(monitored.rejected["known"], abs=0.03)
    alerts = monitored.firing(after="shifted")
    assert {"CroftDrift", "CroftRejectionRateHigh", "CroftRejectionRateJump"} <= alerts
    assert "CroftRejectionRateLow" not in alerts


def test_unknown_images_are_rejected(monitored: Monitored) -> None:
    """All of the last hour were unknown: all are rejected, at every level, in every class."""
    assert monitored.rejected["unknown"] > 0.99
    assert monitored.value("bundle:croft_rejection:ratio1h") > 0.99
    at_five_percent = monitored.value('bundle:croft_p_value_share:ratio1h{le="0.05"}')
    assert at_five_percent == pytest.approx(1, abs=0.01)
    assert monitored.value("max(label:croft_rejection:ratio1h)") > 0.99
    assert monitored.firing(after="unknown") >= {
        "CroftDrift",
        "CroftRejectionRateHigh",
        "CroftRejectionSpikeInClass",
    }


def test_open_set_panels_show_what_was_sent(monitored: Monitored) -> None:
    """The board's own queries tell known, shifted and unknown traffic apart."""
    shown = {kind: _open_set_panels(monitored, after=kind) for kind in OPEN_SET_TRAFFIC}
    rates, tallest = (
        [shown[kind][title] for kind in ("known", "shifted", "unknown")]
        for title in ("Rejection rate and its band", "p-values against calibration")
    )
    assert rates[0] < 0.1 < rates[1] < rates[2] == pytest.approx(1, abs=0.01)
    # Relative to known images: all p-values are in the first of the bins, which is 1/20 wide.
    assert tallest[0] < 2 < tallest[1] < tallest[2] == pytest.approx(20, rel=0.05)
    at_one_percent = [shown[kind]["What other thresholds would reject"] for kind in shown]
    assert at_one_percent[0] < 0.05 < at_one_percent[1] < at_one_percent[2]


def _open_set_panels(monitored: Monitored, *, after: str) -> dict[str, float]:
    """Return the first value of the first query of each panel."""
    board = json.loads((ROOT / "deploy/grafana/dashboards/open-set.json").read_text())
    first = {p["title"]: substitute(p["targets"][0]["expr"]) for p in board["panels"]}
    found = {title: monitored.series(query, after=after) for title, query in first.items()}
    return {title: float(series[0]["value"][1]) for title, series in found.items() if series}


def test_the_p_value_histogram_agrees_with_the_decisions(monitored: Monitored) -> None:
    """Images at or below the smallest levels are among the rejected: the two are one decision."""
    rejected = monitored.value('croft_images_total{outcome="rejected"}')
    assert monitored.value('croft_p_value_bucket{le="0.02"}') <= rejected
    assert rejected <= monitored.value('croft_p_value_bucket{le="0.05"}')


def test_the_service_publishes_well_formed_metrics(monitored: Monitored) -> None:
    """Prometheus reads the service's page without an error; a busy machine may miss a scrape."""
    assert monitored.value("avg_over_time(up[1m])") > 0.5
