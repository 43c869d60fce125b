"""The promise itself: calibrations are simulated, and those that break it are counted.

Scores are uniform, which loses nothing: only their order matters. The share of known images
beyond a threshold t is then 1 - t, without any further sampling. Axes: S simulations,
n calibration images.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from training.calibrate import CalibrateConfig, band, calibrate, pac_rank

ALPHA = DELTA = 0.05
SIMULATIONS = 20_000

pytestmark = pytest.mark.statistical


def rejection_rates(n: int, rank: int, *, seed: int = 1) -> NDArray[np.float64]:
    """Return the share of known images that each simulated calibration rejects, shape (S,)."""
    scores_Sn = np.random.default_rng([seed, n]).random((SIMULATIONS, n))
    thresholds_S = np.partition(scores_Sn, n - rank, axis=1)[:, n - rank]
    return np.asarray(1 - thresholds_S)


def is_as_derived(broken: int, *, n: int, rank: int) -> bool:
    """Tell whether a count lies in the two-sided 99.9 % band around its exact expectation."""
    exact = stats.beta.sf(ALPHA, rank, n + 1 - rank)
    low, high = stats.binom.ppf([0.0005, 0.9995], SIMULATIONS, exact)
    return bool(low <= broken <= high)


@pytest.mark.parametrize("n", [59, 93, 500])
def test_the_promise_is_broken_as_often_as_derived_and_no_more_than_delta(n: int) -> None:
    """1 - BetaCDF(alpha; r, n + 1 - r), which is at most delta."""
    rank = pac_rank(n, ALPHA, DELTA)

    broken = int((rejection_rates(n, rank) > ALPHA).sum())

    assert is_as_derived(broken, n=n, rank=rank)
    assert stats.beta.sf(ALPHA, rank, n + 1 - rank) <= DELTA


@pytest.mark.parametrize("n", [59, 93])
def test_one_rank_further_breaks_the_promise(n: int) -> None:
    """The same check fails for r + 1, and by far: delta lies below any doubt."""
    rank = pac_rank(n, ALPHA, DELTA)

    broken = int((rejection_rates(n, rank + 1) > ALPHA).sum())

    assert not is_as_derived(broken, n=n, rank=rank)
    assert stats.binomtest(broken, SIMULATIONS).proportion_ci(0.999).low > DELTA


@pytest.mark.parametrize("n", [59, 93, 500])
def test_calibrate_gives_the_simulated_thresholds(n: int) -> None:
    """What was simulated is what the product does."""
    scores_Sn = np.random.default_rng([1, n]).random((SIMULATIONS, n))[:100]
    simulated_S = 1 - rejection_rates(n, pac_rank(n, ALPHA, DELTA))[:100]

    found = [calibrate(scores_n, CalibrateConfig()).value for scores_n in scores_Sn]

    np.testing.assert_allclose(found, simulated_S, rtol=1e-12)


@pytest.mark.parametrize("n", [59, 500])
def test_fresh_images_fall_in_the_band(n: int) -> None:
    """At least 95 % of fresh sets of 200, and as many as the beta-binomial says."""
    rates_S = rejection_rates(n, pac_rank(n, ALPHA, DELTA))
    found = calibrate(np.linspace(0, 1, n), CalibrateConfig())
    low, high = band(found, 200)

    refused_S = np.random.default_rng(2).binomial(200, rates_S)
    inside = int(((refused_S >= low) & (refused_S <= high)).sum())

    counts = stats.betabinom(200, found.rank, n + 1 - found.rank)
    exact = counts.cdf(high) - counts.cdf(low - 1)
    least, most = stats.binom.ppf([0.0005, 0.9995], SIMULATIONS, exact)
    assert exact >= 0.95
    assert least <= inside <= most
