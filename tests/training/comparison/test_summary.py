"""Means, and what their intervals hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.training.comparison.problems import row, rows
from training.comparison.summary import accuracies, estimate, headline, intervals_are


def test_the_mean_is_over_seeds_and_sets() -> None:
    """Of two seeds and two sets: 0.6, 0.8 and 0.7, 0.7."""
    made = [row(seed=seed, accuracy=a) for seed, a in ((1, 0.6), (1, 0.8), (2, 0.7), (2, 0.7))]

    assert estimate(made, "accuracy").mean == pytest.approx(0.7)


def test_two_seeds_that_agree_leave_the_error_of_the_images() -> None:
    """1.96 standard errors, however many sets and seeds share the images."""
    made = [row(seed=seed, auroc=0.9, auroc_se=0.02) for seed in (1, 2) for _ in range(3)]

    assert estimate(made, "auroc").half == pytest.approx(1.96 * 0.02, rel=1e-4)


def test_seeds_that_differ_widen_the_interval_by_students_factor() -> None:
    """Three seeds: t = 4.303; the two parts join as squares."""
    made = [row(seed=seed, auroc=a, auroc_se=0.03) for seed, a in enumerate((0.7, 0.8, 0.9))]
    between = 4.3027 * 0.1 / math.sqrt(3)

    assert estimate(made, "auroc").half == pytest.approx(math.hypot(between, 1.96 * 0.03), rel=1e-4)


def test_one_seed_has_the_images_error_alone_and_says_so() -> None:
    """What another draw would change, one draw cannot tell."""
    made = [row(accuracy=0.8, accuracy_se=0.01)]

    assert estimate(made, "accuracy").half == pytest.approx(1.96 * 0.01, rel=1e-4)
    assert "of one seed" in intervals_are(1)
    assert "over 3 seeds" in intervals_are(3)


@pytest.mark.statistical
@pytest.mark.parametrize(("seed_sd", "images"), [(0.03, 4000), (0.0, 100), (0.02, 400)])
def test_the_interval_holds_the_truth_95_times_of_100(seed_sd: float, images: int) -> None:
    """Three seeds judged by the same images: draws differ, and an image is hard for all alike."""
    rng, trials, held = np.random.default_rng(0), 1000, 0
    truth = 0.7
    for _ in range(trials):
        drawn = rng.normal(truth, seed_sd, 3)
        luck = rng.binomial(images, truth) / images - truth
        se = math.sqrt(truth * (1 - truth) / images)
        made = [row(seed=s, accuracy=a + luck, accuracy_se=se) for s, a in enumerate(drawn)]
        found = estimate(made, "accuracy")
        held += abs(found.mean - truth) <= found.half

    assert stats.binomtest(held, trials, 0.95, alternative="less").pvalue > 0.001


def test_shifted_sets_are_the_headline() -> None:
    """Without any, all known sets are."""
    assert headline(rows()) == ["photo (shifted)", "sketch (shifted)"]
    assert headline([row(known="photo"), row(known="sketch")]) == ["photo", "sketch"]


def test_an_accuracy_counts_once_however_many_scores_there_are() -> None:
    """Else sets judged under more scores would weigh more."""
    assert len(rows()) == 2 * 3 * 2 * 2 * 2 * 2
    assert len(accuracies(rows())) == 2 * 3 * 2 * 2
