"""The studies of the alerts: their statistics, and that docs/monitoring.md shows what came out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta, binom

from benchmarks import false_alarms
from benchmarks.backfill import Firing, stretches
from benchmarks.drift import PHASES, SETTLE_MINUTES, plan, report, unexpected
from benchmarks.false_alarms import ALERTS, draw, first_alarms, study, table
from benchmarks.monitoring_rules import expected_share_E, jump_W, lower_W, upper_W
from training.calibrate import CalibrateConfig, rank_of
from training.toybox.images import KNOWN, UNKNOWN

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
RESULTS = ROOT / "benchmarks" / "results"
MANY = np.array([1e12])

# Axes: W windows, E edges.


@pytest.mark.parametrize("n", [59, 100, 456, 1000, 20000])
def test_the_band_of_endless_traffic_is_that_of_the_calibration_draw(n: int) -> None:
    """The cubic approximation is close to the beta distribution, and wider where it is not."""
    rank = rank_of(n, CalibrateConfig())
    mean, exact = rank / (n + 1), beta(rank, n + 1 - rank)
    assert upper_W(mean, n, MANY)[0] == pytest.approx(exact.ppf(0.99), rel=0.02)
    assert 0 <= lower_W(mean, n, MANY)[0] <= exact.ppf(0.01) * 1.02


@pytest.mark.parametrize("images", [100, 1000, 10000])
def test_fewer_images_widen_the_band_by_what_chance_does(images: int) -> None:
    """Beyond it lie at most a thousandth of the hours of a bundle at the edge."""
    edge = float(upper_W(0.05, 10**9, MANY)[0])
    most = int(upper_W(0.05, 10**9, np.array([images]))[0] * images)
    assert binom.sf(most, images, edge) < 1e-3


def test_p_values_that_cannot_be_are_expected_of_nobody() -> None:
    """Of 59 calibration images no p-value is below 1/60; at 0.02 the first of sixty is in."""
    assert expected_share_E(59)[:4] == pytest.approx([0, 0, 0, 1 / 60])
    assert expected_share_E(99)[2:5] == pytest.approx([0.01, 0.02, 0.05])


def test_a_jump_is_counted_in_standard_deviations() -> None:
    """On equal shares, differences of two samples have about unit variance."""
    rng = np.random.default_rng(1)
    now, before = rng.binomial(1000, 0.05, 4000) / 1000, rng.binomial(24000, 0.05, 4000) / 24000
    jumps = jump_W(now, np.full(4000, 1000.0), before, np.full(4000, 24000.0))
    assert 0.9 < jumps.std() < 1.05
    assert abs(jumps.mean()) < 0.05


def test_known_images_do_not_fire_and_unknown_ones_do() -> None:
    """With another threshold than the bundle says, the alerts of the rate see it."""
    rng = np.random.default_rng(3)
    quiet = first_alarms(draw(1000, rng), per_step=100, steps=600, unknown=0.0, rng=rng)
    assert set(quiet) == set(ALERTS)
    assert not any(quiet.values())
    loud = first_alarms(draw(1000, rng), per_step=100, steps=60, unknown=0.2, rng=rng)
    assert 0 < (loud["CroftRejectionRateHigh"] or 0) <= 2000
    assert 0 < (loud["CroftRejectionRateJump"] or 0) <= 2000
    assert loud["CroftRejectionRateLow"] is None


def test_a_bundle_that_lies_about_its_rate_is_noticed() -> None:
    """The study can fail: with a mean of half of what is rejected the band is left."""
    rng = np.random.default_rng(3)
    honest = draw(1000, rng)
    liar = replace(honest, mean=honest.mean / 2)
    alarms = first_alarms(liar, per_step=1000, steps=60, unknown=0.0, rng=rng)
    assert alarms["CroftRejectionRateHigh"] is not None


def test_a_study_counts_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of draws, and a median of images."""
    monkeypatch.setattr(false_alarms, "IMAGES", 20_000)
    row = study(1000, 1200, draws=4)
    assert row["known CroftDrift"] in (0, 0.25, 0.5, 0.75, 1)
    assert row["unknown CroftRejectionRateJump"] == 1
    assert row["unknown CroftRejectionRateJump after"] > 0


def test_the_page_shows_the_false_alarms_that_were_measured() -> None:
    """All three sizes and rates, over 200 draws, none above what is stated."""
    rows = json.loads((RESULTS / "false_alarms.json").read_text())
    assert table(rows) in PAGE
    assert {row["draws"] for row in rows} == {200}
    assert max(row[f"known {name}"] for row in rows for name in ALERTS) <= 0.02
    assert "at most 2 % of calibration draws" in PAGE


def test_an_alert_waits_and_clears() -> None:
    """It fires after its condition has held for as long as it waits; a shorter one does not."""
    true = np.zeros(100, dtype=bool)
    true[10:40] = true[50:60] = True
    (firing,) = stretches("A", "b", true, 15)
    assert (firing.begins, firing.ends) == (25 * 60, 40 * 60)


def test_only_the_phases_that_matter_may_fire() -> None:
    """An hour longer than they last, while the window still holds them."""
    hours = np.cumsum([0, *(phase.hours for phase in PHASES)]) * 3600.0
    inside = Firing("A", "", hours[1] + 600, hours[3] + 60 * SETTLE_MINUTES)
    early = Firing("B", "", hours[1] - 60, hours[1] + 600)
    late = Firing("C", "", hours[3], hours[3] + 60 * SETTLE_MINUTES + 60)
    assert unexpected([inside, early, late], PHASES) == [early, late]
    assert "10 minutes into 'other styles'" in report([inside], PHASES)


def test_the_stream_is_what_the_phases_say() -> None:
    """50,000 images, a fifth of the third part unknown, other styles only in the second."""
    jobs = list(plan(PHASES))
    assert len(jobs) == 50_000
    styles = [{style for _, style, _ in jobs[a:b]} for a, b in ((0, 27_000), (27_000, 32_000))]
    assert styles == [{"photo", "cartoon"}, {"painting", "sketch"}]
    unknown = [name in UNKNOWN for name, _, _ in jobs[32_000:38_000]]
    assert 0.18 < np.mean(unknown) < 0.22
    assert {name for name, _, _ in jobs[:32_000]} <= set(KNOWN)


def test_the_page_tells_what_fired() -> None:
    """Every alert of the stream, as it was measured."""
    found = json.loads((RESULTS / "drift.json").read_text())
    firings = [Firing(**firing) for firing in found["alerts"]]
    assert firings
    assert report(firings, PHASES) in PAGE
    assert unexpected(firings, PHASES) == []
