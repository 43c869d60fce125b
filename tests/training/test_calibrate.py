"""training.calibrate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from models.errors import ConfigError, DataError, TooFewImages
from models.threshold import Threshold, p_value
from training.calibrate import (
    CalibrateConfig,
    band,
    calibrate,
    conformal_rank,
    expectation,
    images_needed,
    pac_rank,
    percent,
)

# Axes: n calibration images.

PAC = CalibrateConfig()
CONFORMAL = CalibrateConfig(method="conformal")


def threshold(*, n: int, rank: int, method: str = "pac", alpha: float = 0.05) -> Threshold:
    """Return a threshold at 0 with these numbers."""
    return Threshold(
        method=method,  # type: ignore[arg-type]
        alpha=alpha,
        delta=0.05 if method == "pac" else None,
        n=n,
        rank=rank,
        value=0.0,
    )


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return the binomial CDF as a plain sum of terms."""
    i = np.arange(k + 1)
    log_choose = math.lgamma(n + 1) - np.array([math.lgamma(j + 1) for j in i])
    log_choose -= np.array([math.lgamma(n - j + 1) for j in i])
    return math.fsum(np.exp(log_choose + i * math.log(p) + (n - i) * math.log1p(-p)))


@pytest.mark.parametrize(
    ("n", "ranks"),
    [
        (59, (1, 0, 0, 3)),
        (100, (2, 1, 0, 5)),
        (200, (5, 4, 0, 10)),
        (299, (9, 7, 1, 15)),
        (500, (17, 14, 2, 25)),
        (1000, (39, 35, 5, 50)),
        (2000, (84, 78, 13, 100)),
        (5000, (225, 215, 39, 250)),
        (10000, (464, 450, 84, 500)),
    ],
)
def test_ranks_are_those_of_the_published_tables(n: int, ranks: tuple[int, int, int, int]) -> None:
    """For (alpha, delta) of (5, 5), (5, 1), (1, 5) percent, and conformal at 5 %."""
    found = (pac_rank(n, 0.05, 0.05), pac_rank(n, 0.05, 0.01), pac_rank(n, 0.01, 0.05))

    assert (*found, conformal_rank(n, 0.05)) == ranks


@given(
    n=st.integers(1, 400),
    alpha=st.floats(0.001, 0.9),
    delta=st.floats(0.001, 0.9),
)
def test_the_pac_rank_is_the_largest_that_keeps_the_promise(
    n: int, alpha: float, delta: float
) -> None:
    """Its own CDF is at most delta, and that of the next rank is larger."""
    rank = pac_rank(n, alpha, delta)

    assert 0 <= rank <= n
    assert rank == 0 or binomial_cdf(rank - 1, n, alpha) <= delta * (1 + 1e-8)
    assert rank == n or binomial_cdf(rank, n, alpha) > delta * (1 - 1e-8)


def test_the_pac_rank_is_right_for_a_million_images() -> None:
    """A plain sum of 50,000 terms agrees on both sides of the rank."""
    rank = pac_rank(1_000_000, 0.05, 0.05)

    assert binomial_cdf(rank - 1, 1_000_000, 0.05) <= 0.05
    assert binomial_cdf(rank, 1_000_000, 0.05) > 0.05


@pytest.mark.parametrize(
    ("n", "alpha", "delta", "rank"),
    [
        (1, 0.5, 0.5, 1),
        (2, 0.9, 0.01, 1),
        (2, 0.1, 0.81, 1),
        (3, 0.1, 0.729, 1),
        (3, 0.1, 0.7289999999, 0),
        (3, 0.1, 0.972, 2),
        (3, 0.7, 0.027, 1),
        (2, 0.1, 0.99, 2),
    ],
)
def test_where_the_cdf_meets_delta_exactly_the_image_may_be_rejected(
    n: int, alpha: float, delta: float, rank: int
) -> None:
    """0.9 to the third is 0.729: "at most" includes it, whatever doubles make of it."""
    assert pac_rank(n, alpha, delta) == rank


@pytest.mark.parametrize(
    ("n", "alpha", "rank"),
    [(19, 0.05, 1), (18, 0.05, 0), (99, 0.29, 29), (99, 0.07, 7), (999, 0.057, 57), (0, 0.5, 0)],
)
def test_the_conformal_rank_does_not_lose_one_to_rounding(n: int, alpha: float, rank: int) -> None:
    """0.29 * 100 is 28.999999999999996 in doubles, and 29 on paper."""
    assert conformal_rank(n, alpha) == rank


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (PAC, 59),
        (CalibrateConfig(delta=0.01), 90),
        (CalibrateConfig(alpha=0.01), 299),
        (CalibrateConfig(alpha=0.01, delta=0.01), 459),
        (CalibrateConfig(alpha=0.5, delta=0.5), 1),
        (CONFORMAL, 19),
        (CalibrateConfig(method="conformal", alpha=0.01), 99),
    ],
)
def test_images_needed_is_the_first_count_that_calibrates(
    config: CalibrateConfig, needed: int
) -> None:
    """With one image fewer nothing could be rejected, and the error names the number."""
    assert images_needed(config) == needed
    assert calibrate(np.arange(needed, dtype=float), config).rank >= 1
    with pytest.raises(TooFewImages, match=f"Give at least {needed} images") as error:
        calibrate(np.arange(needed - 1, dtype=float), config)
    assert error.value.needed == needed


def test_too_few_for_pac_names_the_marginal_way_out() -> None:
    """The message says what conformal needs, and that it promises less."""
    with pytest.raises(TooFewImages, match=r"`--calibration conformal` needs 19.* marginal"):
        calibrate(np.zeros(58), PAC)


def test_the_threshold_is_the_rank_th_most_unusual_score() -> None:
    """Of 500 scores the 17th largest, whatever their order."""
    scores_n = np.random.default_rng(0).permutation(500).astype(float)

    found = calibrate(scores_n, PAC)

    assert (found.rank, found.value, found.n) == (17, 483.0, 500)
    assert (found.method, found.alpha, found.delta) == ("pac", 0.05, 0.05)
    assert calibrate(scores_n, CONFORMAL).delta is None


@given(
    scores=st.lists(st.integers(-2, 2).map(float), min_size=19, max_size=60),
    new=st.integers(-3, 3).map(float),
)
def test_rejected_exactly_when_p_is_at_most_r_over_n_plus_1(
    scores: list[float], new: float
) -> None:
    """Among scores that are nearly all tied."""
    scores_n = np.array(scores)
    found = calibrate(scores_n, CONFORMAL)

    p = p_value(np.sort(scores_n)[::-1], new)

    assert found.rejects(new) == (p <= found.rank / (found.n + 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    """One is enough: its encoder cannot be trusted."""
    scores_n: NDArray[np.float64] = np.append(np.zeros(100), bad)

    with pytest.raises(DataError, match="1 of 101 calibration scores are NaN or infinite"):
        calibrate(scores_n, PAC)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("method", "quantile", "`method` must be one of pac, conformal, got 'quantile'"),
        ("alpha", 5, r"`alpha` must lie between 0 and 1 \(0.05 is 5 %\), got 5"),
        ("delta", 0.0, "`delta` must lie between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(field: str, value: object, message: str) -> None:
    """Named with what was given and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        CalibrateConfig(**{field: value})  # type: ignore[arg-type]


def test_the_expectation_names_both_numbers() -> None:
    """What will happen, and what is promised; conformal is called marginal."""
    assert expectation(threshold(n=500, rank=17)) == (
        "will refuse about 3.4 % of known images; promise: at most 5 % with 95 % confidence"
    )
    assert expectation(threshold(n=99, rank=5, method="conformal")) == (
        "will refuse about 5 % of known images; promise: at most 5 % on average over calibration "
        "sets (marginal)"
    )


@pytest.mark.parametrize(
    ("share", "text"), [(0.05, "5 %"), (0.07, "7 %"), (1 - 0.0001, "99.99 %"), (0.025, "2.5 %")]
)
def test_percentages_read_as_written(share: float, text: str) -> None:
    """No trailing digits of binary fractions, and 99.99 % is not rounded to certainty."""
    assert percent(share) == text


@pytest.mark.parametrize(("n", "rank", "images"), [(59, 1, 40), (500, 17, 360), (93, 2, 1)])
def test_the_band_holds_its_confidence_and_no_narrower_one_does(
    n: int, rank: int, images: int
) -> None:
    """Summed from the beta-binomial's own probabilities."""
    low, high = band(threshold(n=n, rank=rank), images)

    counts = np.arange(images + 1)
    chances = stats.betabinom(images, rank, n + 1 - rank).pmf(counts)
    assert chances[low : high + 1].sum() >= 0.95
    assert chances[:low].sum() < 0.025
    assert chances[high + 1 :].sum() <= 0.025
    assert chances[high:].sum() > 0.025 or high == 0
