"""The rule, on judgements that are made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from training.selection.choice import Figure, Verdict, choose
from training.selection.judge import CANDIDATES, Judgement
from training.tune import TuneConfig

Aurocs = Mapping[str, float]


def judgement(accuracy: float = 0.5, **kinds: Aurocs) -> Judgement:
    """Return one of these AUROCs by kind and score; scores that are not named have 0.1."""
    return Judgement(
        accuracy=accuracy,
        auroc={kind: dict.fromkeys(CANDIDATES, 0.1) | dict(of) for kind, of in kinds.items()},
        fresh={"energy": np.array([accuracy, 2.0])},
    )


def verdict(*rounds: Judgement, seed: int = 0) -> Verdict:
    """Return the verdict on a setting that is told apart by its seed."""
    return Verdict(config=TuneConfig(seed=seed), rounds=rounds)


def test_the_worst_kind_decides_on_a_score() -> None:
    """Not the mean: energy is best on average here, and useless for one kind."""
    found = verdict(
        judgement(
            near={"energy": 0.99, "knn": 0.7, "msp": 0.72},
            far={"energy": 0.55, "knn": 0.7, "msp": 0.68},
        )
    )
    assert found.worst("energy") == 0.55
    assert found.best_score == "knn"


def test_the_mean_over_rounds_is_taken_before_the_worst_kind() -> None:
    """A kind that is bad in one round and good in another is as good as their mean."""
    found = verdict(
        judgement(near={"energy": 0.5, "knn": 0.7}, far={"energy": 1.0, "knn": 0.7}),
        judgement(near={"energy": 1.0, "knn": 0.7}, far={"energy": 0.6, "knn": 0.7}),
    )
    assert found.worst("energy") == pytest.approx(0.75)
    assert found.best_score == "energy"


def test_a_kind_counts_over_the_rounds_that_have_it() -> None:
    """A round without it is not one where it failed."""
    found = verdict(
        judgement(near={"energy": 0.6}, far={"energy": 0.9}),
        judgement(far={"energy": 0.8}),
        judgement(near={"energy": 0.7}),
    )
    figures = found.aurocs("energy")
    assert figures["near"].mean == pytest.approx(0.65)
    assert figures["far"].mean == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("accuracy", "worst", "chosen"), [(0.09, 0.1, 1), (0.11, 0.1, 0), (0.1, 0.09, 0)]
)
def test_a_point_of_accuracy_is_a_point_of_auroc(
    accuracy: float, worst: float, chosen: int
) -> None:
    """The second setting gives up one for the other: it is chosen if it gains more."""
    first = verdict(judgement(0.8, near={"energy": 0.6}), seed=0)
    second = verdict(judgement(0.8 - accuracy, near={"energy": 0.6 + worst}), seed=1)
    assert choose([first, second])[0].config.seed == chosen


def test_more_accuracy_is_chosen_at_equal_auroc() -> None:
    """And more AUROC at equal accuracy."""
    base = verdict(judgement(0.5, near={"energy": 0.6}), seed=0)
    accurate = verdict(judgement(0.6, near={"energy": 0.6}), seed=1)
    telling = verdict(judgement(0.5, near={"energy": 0.75}), seed=2)
    assert choose([base, accurate])[0] is accurate
    assert choose([accurate, telling, base])[0] is telling


def test_a_setting_brings_the_score_that_is_best_with_it() -> None:
    """Another setting's best score does not count."""
    first = verdict(judgement(0.5, near={"energy": 0.8, "knn": 0.6}), seed=0)
    second = verdict(judgement(0.5, near={"energy": 0.5, "knn": 0.9}), seed=1)
    chosen, score = choose([first, second])
    assert (chosen.config.seed, score) == (1, "knn")


def test_of_equals_the_first_is_kept() -> None:
    """Of settings the one that was given, of scores the earliest in the list."""
    same = {"gen": 0.8, "msp": 0.8, "energy+knn": 0.8}
    verdicts = [verdict(judgement(0.5, near=same), seed=seed) for seed in range(3)]
    chosen, score = choose(verdicts)
    assert chosen is verdicts[0]
    assert score == "msp"


def test_merit_is_accuracy_plus_the_worst_case() -> None:
    """Over rounds, both."""
    found = verdict(
        judgement(0.4, near={"knn": 0.8}, far={"knn": 0.9}),
        judgement(0.6, near={"knn": 0.7}, far={"knn": 0.9}),
    )
    assert found.merit == pytest.approx(0.5 + 0.75)
    np.testing.assert_array_equal(found.accuracies_R, [0.4, 0.6])


def test_fresh_values_of_all_rounds_are_put_together() -> None:
    """In their order."""
    found = verdict(judgement(0.4, near={}), judgement(0.6, near={}))
    np.testing.assert_array_equal(found.fresh()["energy"], [0.4, 2.0, 0.6, 2.0])


@pytest.mark.parametrize("values", [[0.7, 0.9], [0.5, 0.8, 0.81, 0.79, 0.6]])
def test_the_interval_is_that_of_a_t_test(values: Sequence[float]) -> None:
    """At 95 %, as scipy has it."""
    found = Figure.of(np.array(values))
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("values", [[0.7], [0.75, 0.75, 0.75]])
def test_without_spread_the_interval_is_a_point(values: Sequence[float]) -> None:
    """One round says nothing about others; rounds that agree leave no doubt."""
    assert Figure.of(np.array(values)) == Figure(values[0], values[0], values[0])
