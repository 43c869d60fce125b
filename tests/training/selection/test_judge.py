"""Left-out classes are never trained on, and every number is one that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.feature_scores import fit_fused
from models.outputs import Reference
from models.scores import FUSED, SCORES, fit_scores
from tests.training.selection.problems import QUICK, far, shots, styles, text
from training.baselines.few_shot import FewShot, accuracy
from training.metrics import auroc
from training.selection import judge as module
from training.selection.judge import (
    CANDIDATES,
    NEAR,
    SCRAMBLED,
    TEXTURE,
    Judgement,
    judge,
    part_of_round,
)
from training.selection.rounds import Round, rounds
from training.tune import Floats, Labels, TextSource, TuneConfig, Tuned, tune

OTHER = replace(QUICK, lambda_1=0.0, lambda_2=0.0, gen_steps=0, ratio_image=0.6)


def _first(given: FewShot, config: TuneConfig = QUICK, *, number: int = 0) -> Judgement:
    """Return the judgement of one setting in one round."""
    (found,) = judge(given, rounds(given)[number], [config])
    return found


def test_every_score_but_that_of_names_is_judged() -> None:
    """Single ones first, in the order in which they are listed: of equals the first wins."""
    assert set(CANDIDATES) == set(SCORES) - {"neglabel"}
    assert CANDIDATES[0] == "energy"
    assert CANDIDATES[-len(FUSED) :] == FUSED


@pytest.mark.parametrize("style", [True, False])
def test_kinds_are_left_out_classes_and_far_images(style: bool) -> None:
    """Far ones are made of pixels where there are any, else of embeddings."""
    given = shots() if style else shots(domains_N=None)
    assert list(_first(given).auroc) == [NEAR, SCRAMBLED]
    with_pixels = replace(given, texture_ND=far(given))
    assert list(_first(with_pixels).auroc) == [NEAR, TEXTURE]
    assert all(tuple(of) == CANDIDATES for of in _first(with_pixels).auroc.values())


def test_a_round_trains_on_its_own_part() -> None:
    """Of kept classes, which are counted anew; with all views, and nothing to select by."""
    given = shots(select=(np.ones((3, 12), np.float32), np.zeros(3, np.int64)))
    given = replace(given, texture_ND=far(given), single=given.text.features_KD)
    given = replace(given, units_N=np.arange(len(given.labels_N)))
    for round_ in rounds(given):
        part = part_of_round(given, round_)
        np.testing.assert_array_equal(part.train_NVD, given.train_NVD[round_.train])
        np.testing.assert_array_equal(round_.kept_C[part.labels_N], given.labels_N[round_.train])
        kept_CD = given.text.features_KD[round_.kept_C]
        np.testing.assert_array_equal(part.text.features_KD, kept_CD)
        rest = (part.single, part.select, part.domains_N, part.texture_ND, part.units_N)
        assert rest == (None,) * 5


def test_left_out_classes_and_held_out_images_are_never_tuned_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every tuning is watched: what it is given is the round's part alone."""
    given, seen = shots(), []

    def watched(*args: Any, **more: Any) -> Tuned:
        seen.append((args, more))
        return tune(*args, **more)

    monkeypatch.setattr(module, "tune", watched)
    for round_ in rounds(given):
        seen.clear()
        list(judge(given, round_, [QUICK, OTHER]))
        assert [more["config"] for _, more in seen] == [QUICK, OTHER]
        for (train_NVD, labels_N), more in seen:
            np.testing.assert_array_equal(train_NVD, given.train_NVD[round_.train])
            assert len(more["text"].features_KD) == len(round_.kept_C)
            assert labels_N.max() < len(round_.kept_C)
            assert more.keys() == {"text", "config"}


def test_left_out_images_change_nothing_but_their_own_auroc() -> None:
    """Neither accuracy nor a score of known images nor how far ones are told apart."""
    given = shots()
    given = replace(given, texture_ND=far(given))
    round_ = rounds(given)[0]
    out_N = ~np.isin(given.labels_N, round_.kept_C)
    changed_NVD = given.train_NVD.copy()
    changed_NVD[out_N] = np.random.default_rng(3).standard_normal(changed_NVD[out_N].shape)

    one, other = _first(given), _first(replace(given, train_NVD=changed_NVD))

    assert one.accuracy == other.accuracy
    for name in one.fresh:
        np.testing.assert_array_equal(one.fresh[name], other.fresh[name])
    assert one.auroc[TEXTURE] == other.auroc[TEXTURE]
    assert one.auroc[NEAR] != other.auroc[NEAR]


def test_images_that_stand_in_for_text_are_those_of_the_round() -> None:
    """Of noise nothing can be learned; the text would know the held-out images otherwise."""
    labels_N = np.arange(48) % 6
    noise_NVD = np.random.default_rng(5).standard_normal((48, 1, 64)).astype(np.float32)

    def means(train_ND: Floats, labels_N: Labels) -> TextSource:
        seen = [train_ND[labels_N == k] for k in range(6)]
        rows = [x_ND.mean(axis=0) if len(x_ND) else np.zeros(64) for x_ND in seen]
        features_KD = np.stack(rows).astype(np.float32)
        return TextSource(features_KD=features_KD, logit_scale=20.0, name="m", remake=means)

    text = means(noise_NVD[:, 0], labels_N)
    given = FewShot(train_NVD=noise_NVD, labels_N=labels_N, text=text)

    def right(shots: FewShot) -> float:
        found = [j for r in rounds(shots) for j in judge(shots, r, [QUICK])]
        return float(np.mean([j.accuracy for j in found]))

    assert right(given) < 0.5
    assert right(replace(given, text=replace(text, remake=None))) > 0.8


@pytest.mark.parametrize("number", [0, 5])
def test_figures_are_those_worked_out_by_hand(number: int) -> None:
    """Scores are fitted for each head anew here: computing some once a round changes no bit."""
    given = shots()
    given = replace(given, texture_ND=far(given))
    round_ = rounds(given)[number]
    known_ND, near_ND = (given.train_NVD[rows, 0] for rows in (round_.known, round_.left_out))
    assert given.texture_ND is not None
    unknown = {NEAR: near_ND, TEXTURE: given.texture_ND[round_.known]}
    settings = [QUICK, OTHER]

    found = list(judge(given, round_, settings))

    for config, judgement in zip(settings, found, strict=True):
        part = part_of_round(given, round_)
        head = tune(part.train_NVD, part.labels_N, text=part.text, config=config).head
        reference = Reference(head.outputs(part.train_NVD[:, 0]), part.labels_N)
        scores = fit_scores(reference, [name for name in CANDIDATES if name not in FUSED])
        fresh = {name: score(head.outputs(known_ND)) for name, score in scores.items()}
        for name in FUSED:
            parts = {part: scores[part] for part in SCORES[name].parts}
            scores[name] = fit_fused(parts, fresh)
        labels_N = np.searchsorted(round_.kept_C, given.labels_N[round_.known])
        assert judgement.accuracy == accuracy(head.logits(known_ND), labels_N)
        assert judgement.fresh.keys() == fresh.keys()
        for name, values in fresh.items():
            np.testing.assert_array_equal(judgement.fresh[name], values)
        for kind, x_ND in unknown.items():
            for name, score in scores.items():
                by_hand = auroc(score(head.outputs(known_ND)), score(head.outputs(x_ND)))
                assert judgement.auroc[kind][name] == pytest.approx(by_hand, abs=1e-12)


def test_scores_of_embeddings_are_the_same_for_all_settings() -> None:
    """Tuning moves the others."""
    given = shots()
    one, other = judge(given, rounds(given)[0], [QUICK, OTHER])
    for name in ("knn", "mahalanobis", "relative_mahalanobis"):
        np.testing.assert_array_equal(one.fresh[name], other.fresh[name])
        assert all(one.auroc[kind][name] == other.auroc[kind][name] for kind in one.auroc)
    assert not np.array_equal(one.fresh["energy"], other.fresh["energy"])


def test_fresh_values_are_of_held_out_images() -> None:
    """One for each; distances are larger than those of images that a score was fitted on."""
    given = shots()
    round_ = rounds(given)[0]
    fresh = _first(given).fresh
    assert {len(values) for values in fresh.values()} == {len(round_.known)}
    assert np.all(fresh["knn"] > 0)


def test_a_kind_without_images_is_passed_over() -> None:
    """A style in which no class that is left out has images."""
    given = shots()
    round_ = rounds(given)[0]
    kept = np.setdiff1d(np.arange(len(given.labels_N)), round_.left_out)
    assert given.domains_N is not None
    fewer = replace(
        given,
        train_NVD=given.train_NVD[kept],
        labels_N=given.labels_N[kept],
        domains_N=given.domains_N[kept],
    )
    assert len(rounds(fewer)[0].left_out) == 0
    assert list(_first(fewer).auroc) == [SCRAMBLED]
    assert list(_first(fewer, number=3).auroc) == [NEAR, SCRAMBLED]


def test_a_style_of_one_class_is_judged_where_it_can_be() -> None:
    """Its images are all that is held out then, or all that is unknown."""
    given = shots()
    rare_N = (styles(8) != 3) | (given.labels_N == 5)
    rare = replace(
        given,
        train_NVD=given.train_NVD[rare_N],
        labels_N=given.labels_N[rare_N],
        domains_N=styles(8)[rare_N],
    )
    found = [next(judge(rare, round_, [QUICK])) for round_ in rounds(rare)]
    assert len(found) == 11
    assert all(0 <= judgement.accuracy <= 1 for judgement in found)


def test_no_more_images_of_a_kind_are_looked_at_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one unknown image, an AUROC is the share of known images below it."""
    given = shots()
    known = len(rounds(given)[0].known)
    monkeypatch.setattr(module, "_MOST", 1)
    for of in _first(given).auroc.values():
        for value in of.values():
            assert 2 * known * value == pytest.approx(round(2 * known * value), abs=1e-9)
    monkeypatch.undo()
    values = [v for of in _first(given).auroc.values() for v in of.values()]
    assert any(abs(2 * known * v - round(2 * known * v)) > 0.1 for v in values)


def test_which_images_are_looked_at_is_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for all settings and every time."""
    given = shots(domains_N=None)
    round_: Round = rounds(given)[0]
    monkeypatch.setattr(module, "_MOST", 4)
    one, same = judge(given, round_, [QUICK, QUICK])
    (other,) = judge(replace(given, seed=1), round_, [QUICK])
    assert one.auroc == same.auroc
    assert one.auroc[NEAR] != other.auroc[NEAR]


def test_settings_are_judged_in_order_and_counted() -> None:
    """Each once it is done."""
    given = shots()
    done = []
    found = judge(given, rounds(given)[0], [QUICK, OTHER], on_tuned=lambda: done.append(1))
    assert done == []
    assert len(list(found)) == 2
    assert len(done) == 2


def test_text_that_fits_names_all_held_out_images() -> None:
    """Labels are those of the classes that stay, not of all."""
    given = shots(text=text(error=0.0))
    calm = replace(QUICK, learning_rate=1e-6)
    assert np.mean([_first(given, calm, number=n).accuracy for n in range(12)]) > 0.9
