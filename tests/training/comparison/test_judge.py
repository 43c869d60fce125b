"""Judging: what a row holds, and that its figures are the methods' and scores' own."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from models.scores import RAW, Reference, Score, fit_score
from tests.training.baselines.problems import few_shot, plain
from tests.training.comparison.problems import strangers, task
from training import metrics
from training.baselines.few_shot import Classifier, FewShot
from training.baselines.tip_adapter import tip_adapter
from training.baselines.tuned import single_template
from training.comparison.judge import COMPARED, Method, auroc_se, judge, share_se
from training.selection.auto import Selected
from training.selection.select import Selection
from training.tune import TuneConfig

METHODS: dict[str, Method] = {"zero-shot": single_template, "Tip-Adapter": tip_adapter}


def test_there_is_a_row_for_every_method_known_set_unknown_set_and_score() -> None:
    """With the trial's name and seed, in the order in which they are given."""
    rows = list(judge(task(), METHODS))

    keys = ("method", "known", "unknown", "score")
    assert [tuple(row[key] for key in keys) for row in rows] == list(
        product(METHODS, ("near", "far (shifted)"), ("noise", "more noise"), COMPARED)
    )
    assert {(row["trial"], row["seed"]) for row in rows} == {("clusters", 5)}


@pytest.mark.parametrize("score", ["energy", "energy+mahalanobis", "knn"])
def test_the_figures_are_those_of_the_score(score: str) -> None:
    """Computed here once more; `energy+mahalanobis` standardised by the images to select by."""
    select = plain(30, seed=9)
    made = task(shots=few_shot(select=select))
    head = single_template(made.shots)
    held_out = head.outputs(select[0])
    plain_ND, labels_N = made.shots.train_NVD[:, 0], made.shots.labels_N
    fitted = fit_score(score, Reference(head.outputs(plain_ND), labels_N, held_out=held_out))
    x_ND, truth_N = made.known["near"]
    pair = fitted(head.outputs(x_ND)), fitted(head.outputs(made.unknown["noise"]))

    row = next(judge(made, {"zero-shot": single_template}, scores=[score]))

    assert (row["known"], row["unknown"], row["score"]) == ("near", "noise", score)
    assert row["accuracy"] == np.mean(head.logits(x_ND).argmax(axis=1) == truth_N)
    assert row["auroc"] == metrics.auroc(*pair)
    assert row["ood_miss_at_id_keep_95"] == metrics.ood_miss_at_id_keep_95(*pair)
    assert row["id_reject_at_ood_catch_95"] == metrics.id_reject_at_ood_catch_95(*pair)
    assert row["ood_miss_at_id_keep_95"] != row["id_reject_at_ood_catch_95"]


def test_what_looks_at_raw_embeddings_does_not_depend_on_the_method() -> None:
    """And what looks at logits does, also where the method is no head."""
    rows = list(judge(task(), METHODS))

    areas = {
        name: [row["auroc"] for row in rows if row["method"] == name and row["score"] in RAW]
        for name in METHODS
    }
    assert areas["zero-shot"] == areas["Tip-Adapter"]
    by_energy = [row["auroc"] for row in rows if row["score"] == "energy"]
    assert by_energy[:4] != by_energy[4:]


def test_sets_of_one_name_on_both_sides_are_not_mixed_up() -> None:
    """Known and unknown images may both be called `photo`."""
    made = task(known={"photo": plain(60, seed=1)}, unknown={"photo": strangers(50, seed=3)})

    (row,) = judge(made, {"zero-shot": single_template}, scores=["knn"])

    assert row["auroc"] != 0.5


def test_without_unknown_sets_there_is_accuracy_alone() -> None:
    """One row for each method and known set."""
    rows = list(judge(task(unknown={}), METHODS))

    assert len(rows) == 4
    assert rows[0].keys() == {"trial", "method", "seed", "known", "accuracy", "accuracy_se"}


def test_any_method_can_be_judged() -> None:
    """It is given what all look at, and the caller hears when it is done."""
    made = task()
    seen: list[FewShot | None] = []

    def mine(shots: FewShot) -> Classifier:
        seen.append(shots)
        return single_template(shots)

    rows = list(judge(made, {"mine": mine}, scores=["msp"], on_method=lambda: seen.append(None)))

    assert {row["method"] for row in rows} == {"mine"}
    assert seen == [made.shots, None]


def knn_of(shots: FewShot) -> Score:
    """Fit a score on few of the training images, as nobody else would."""
    outputs = single_template(shots).outputs(shots.train_NVD[::3, 0])
    return fit_score("knn", Reference(outputs, shots.labels_N[::3]))


def own(shots: FewShot, reason: str | None = None) -> Selected:
    """Return zero-shot with that score."""
    selection = Selection(config=TuneConfig(), score="knn", reason=reason)
    return Selected(
        head=single_template(shots), score="knn", fitted=knn_of(shots), selection=selection
    )


def test_a_method_with_its_own_score_is_judged_under_that_alone() -> None:
    """As it fitted it, whatever scores are asked for; rows say both names."""
    made = task()
    head = single_template(made.shots)
    x_ND, truth_N = made.known["near"]
    fitted = knn_of(made.shots)
    pair = fitted(head.outputs(x_ND)), fitted(head.outputs(made.unknown["noise"]))

    rows = list(judge(made, {"mine": own}, scores=["energy", "msp"]))

    keys = ("known", "unknown", "score", "selected")
    assert [tuple(row[key] for key in keys) for row in rows] == list(
        product(("near", "far (shifted)"), ("noise", "more noise"), ["knn"], ["knn"])
    )
    assert rows[0]["auroc"] == metrics.auroc(*pair)
    assert rows[0]["accuracy"] == np.mean(head.logits(x_ND).argmax(axis=1) == truth_N)
    assert not any("selected" in row for row in judge(made, METHODS))


def test_rows_tell_a_default_from_what_was_selected() -> None:
    """None where there was nothing to select by, also where no score is judged."""
    fell_back: Method = lambda shots: own(shots, "too few classes")  # noqa: E731

    (row, *_) = judge(task(), {"mine": fell_back})
    assert (row["score"], row["selected"]) == ("knn", None)
    (row, *_) = judge(task(unknown={}), {"mine": own, "not mine": single_template})
    assert row["selected"] == "knn"


def test_the_error_of_an_auroc_is_the_bootstraps() -> None:
    """Within a tenth, where both sets are spread differently."""
    rng = np.random.default_rng(3)
    known, unknown = rng.normal(0, 1, 400), rng.normal(1, 2, 300)
    low, high = metrics.auroc_interval(known, unknown, seed=1, resamples=4000)

    assert auroc_se(known, unknown) == pytest.approx((high - low) / (2 * 1.96), rel=0.1)


def test_the_error_of_a_share_is_the_binomials() -> None:
    """And grows as fewer images tell it."""
    flags = np.arange(1000) < 300

    assert share_se(flags) == pytest.approx(np.sqrt(0.3 * 0.7 / 1000), rel=0.01)
    assert share_se(flags[::100]) > 5 * share_se(flags)


def test_no_mistake_in_few_images_is_not_certainty() -> None:
    """The rule of three: 0 of 30 means up to a tenth."""
    assert 2 * share_se(np.ones(30, dtype=np.bool_)) == pytest.approx(0.1)
    assert 2 * auroc_se(np.zeros(30), np.ones(500)) == pytest.approx(0.1)
