"""training.metrics, against values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from training import metrics

KNOWN = np.array([1.0, 2.0, 3.0, 4.0])
UNKNOWN = np.array([3.0, 5.0])

some_scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=30).map(np.array)


def test_auroc_counts_pairs_and_halves_ties() -> None:
    """Of 8 pairs 6 are in order, one is tied, one is not: 6.5 / 8."""
    assert metrics.auroc(KNOWN, UNKNOWN) == 6.5 / 8


def test_higher_is_more_unusual() -> None:
    """Unknown images far above all known ones are told apart perfectly; below, never."""
    assert metrics.auroc(KNOWN, KNOWN + 10) == 1.0
    assert metrics.auroc(KNOWN, KNOWN - 10) == 0.0


@given(known=some_scores, unknown=some_scores)
def test_the_bootstrap_interval_is_around_the_same_area(
    known: metrics.Floats, unknown: metrics.Floats
) -> None:
    """Its own way of counting agrees with the plain one; an interval is ordered and in range."""
    low, high = metrics.auroc_interval(known, unknown, seed=0, resamples=40)

    assert 0 <= low <= high <= 1
    if len(set(known)) == len(set(unknown)) == 1:  # every resample is the sample
        assert low == high == metrics.auroc(known, unknown)


def test_the_bootstrap_interval_is_as_wide_as_theory_says() -> None:
    """Within a fifth of 2 x 1.96 Hanley-McNeil standard errors, and the same for the same seed."""
    rng = np.random.default_rng(3)
    known, unknown = rng.normal(0, 1, 400), rng.normal(1, 1, 300)
    area = metrics.auroc(known, unknown)

    low, high = metrics.auroc_interval(known, unknown, seed=1)

    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + 299 * (q1 - area**2) + 399 * (q2 - area**2)
    expected = 2 * 1.96 * math.sqrt(variance / (300 * 400))
    assert low < area < high
    assert high - low == pytest.approx(expected, rel=0.2)
    assert (low, high) == metrics.auroc_interval(known, unknown, seed=1)


def test_average_precision_both_ways() -> None:
    """Of unknown images: first the 5 (1/1), then the 3 behind a 4 and beside a 3 (2/4)."""
    assert metrics.aupr_unknown(KNOWN, UNKNOWN) == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    # Of known images, the least unusual first: 1, 2, then 3 (tied with an unknown 3), 4.
    expected = 0.25 * 1 + 0.25 * 1 + 0.25 * 3 / 4 + 0.25 * 4 / 5
    assert metrics.aupr_known(KNOWN, UNKNOWN) == pytest.approx(expected)


def test_the_two_numbers_called_fpr95_differ() -> None:
    """One counts unknown images that pass, the other known images that are lost."""
    known = np.arange(100, dtype=float)  # 95 are kept up to 94
    unknown = np.concatenate([np.full(10, 90.0), np.full(30, 200.0)])  # 38 of 40 reach up from 90

    assert metrics.ood_miss_at_id_keep_95(known, unknown) == 10 / 40
    assert metrics.id_reject_at_ood_catch_95(known, unknown) == 10 / 100


@given(known=some_scores, unknown=some_scores)
def test_the_operating_points_keep_and_catch_95_percent(
    known: metrics.Floats, unknown: metrics.Floats
) -> None:
    """Searched over every threshold: no better one keeps, or catches, enough."""
    cuts = [*np.unique(np.concatenate([known, unknown])), np.inf]
    misses = [np.mean(unknown <= c) for c in cuts if np.mean(known <= c) >= 0.95]
    losses = [np.mean(known >= c) for c in cuts if np.mean(unknown >= c) >= 0.95]

    assert metrics.ood_miss_at_id_keep_95(known, unknown) == min(misses)
    assert metrics.id_reject_at_ood_catch_95(known, unknown) == min(losses)


def test_rates_carry_clopper_pearson_intervals() -> None:
    """50 of 1,000: 3.7 % to 6.5 %; none of 20: the rule of 1 - 0.025^(1/20)."""
    found = metrics.rate(np.arange(1000) < 50)

    assert (found.count, found.of, found.rate) == (50, 1000, 0.05)
    assert found.low == pytest.approx(0.03734, abs=5e-5)
    assert found.high == pytest.approx(0.06539, abs=5e-5)
    low, high = metrics.rate_interval(0, 20)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_a_share_of_nothing_is_refused() -> None:
    """It is not zero."""
    with pytest.raises(DataError, match="at least one image"):
        metrics.rate(np.array([], dtype=bool))
    with pytest.raises(DataError, match="needs images in both, got 4 and 0"):
        metrics.auroc(KNOWN, np.array([]))


def test_ece_by_hand() -> None:
    """Two bins: |0.9 - 1/2| on half of the images, |0.3 - 0| on the other half."""
    confidence = np.array([0.9, 0.9, 0.3, 0.3])
    correct = np.array([True, False, False, False])

    assert metrics.ece(confidence, correct, bins=2) == pytest.approx(0.5 * 0.4 + 0.5 * 0.3)


def test_a_probability_on_an_edge_belongs_to_the_lower_bin() -> None:
    """0.5 and 0.4 share the bin (0, 0.5]: their gaps cancel; 0 and 1 are inside."""
    gaps = metrics.ece(np.array([0.5, 0.4]), np.array([True, False]), bins=2)

    assert gaps == pytest.approx(0.1 / 2)
    assert metrics.ece(np.array([0.0, 1.0]), np.array([False, True]), bins=15) == 0


def test_confusion_counts_truth_by_row() -> None:
    """A repeated pair counts twice; classes that never occur stay zero."""
    counts = metrics.confusion(
        ["a", "a", "b"], ["b", "b", "refused"], rows=["a", "b", "c"], columns=["a", "b", "refused"]
    )

    np.testing.assert_array_equal(counts, [[0, 2, 0], [0, 0, 1], [0, 0, 0]])


def test_the_roc_curve_goes_from_nothing_to_everything() -> None:
    """The area under it is the AUROC."""
    known_share, unknown_share = metrics.roc(KNOWN, UNKNOWN)

    assert (known_share[0], unknown_share[0]) == (0, 0)
    assert (known_share[-1], unknown_share[-1]) == (1, 1)
    assert np.trapezoid(unknown_share, known_share) == pytest.approx(6.5 / 8)
