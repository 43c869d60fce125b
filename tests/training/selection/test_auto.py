"""From training images to a head and its score, where one score is bound to win."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.head import Head
from models.outputs import Reference
from models.scores import SCORES, fit_score, fit_scores
from tests.training.selection.problems import (
    CLASSES,
    DIM,
    QUICK,
    centres,
    embeddings,
    labels,
    shots,
    styles,
    text,
)
from training.baselines.few_shot import FewShot
from training.metrics import auroc
from training.selection import auto as module
from training.selection.auto import Selected, auto, fit_selected
from training.selection.rounds import rounds
from training.selection.select import Plan, Selection, plan, select
from training.tune import TuneConfig, tune, zero_shot

# Axes: N images, V views, K classes, F kinds, S styles, D embedding.

CROSS_ENTROPY = replace(QUICK, lambda_1=0.0, lambda_2=0.0, gen_steps=0)
OF_EMBEDDINGS = ("knn", "mahalanobis", "relative_mahalanobis")
MODALITY_GAP_D = 6 * np.random.default_rng(5).standard_normal(DIM).astype(np.float32)


def text_is_far() -> FewShot:
    """Return images that lie apart from all text, which is far off, and far images that do not.

    No image looks more usual to the logits than the text itself.
    """
    given = shots(text=text(error=3.0), domains_N=styles(8, count=2))
    far_ND = given.text.features_KD[given.labels_N]
    return replace(
        given,
        train_NVD=given.train_NVD + MODALITY_GAP_D,
        texture_ND=far_ND,
    )


def styles_are_far() -> FewShot:
    """Return images whose style moves them further than their class, where no text points."""
    given = shots(text=text(error=0.0))
    basis_DK, _ = np.linalg.qr(centres().T)
    moves_SD = 15 * np.random.default_rng(8).standard_normal((4, DIM))
    moves_SD -= moves_SD @ basis_DK @ basis_DK.T
    assert given.domains_N is not None
    train_NVD = (given.train_NVD + moves_SD[given.domains_N][:, None]).astype(np.float32)
    far_ND = train_NVD[:, 0] - 5 * centres()[given.labels_N].astype(np.float32)
    return replace(given, train_NVD=train_NVD, texture_ND=far_ND)


def small(given: FewShot, *settings: TuneConfig) -> Selection:
    """Choose from a few settings in four rounds."""
    few = Plan(settings=settings or (QUICK, CROSS_ENTROPY), rounds=rounds(given)[::3])
    return select(given, QUICK, few)


@pytest.fixture(scope="module")
def selected() -> Selected:
    """What comes out where the text is far and stays so: class means would bring it near."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "plan", _plan_without_means)
        return auto(text_is_far(), QUICK)


def _plan_without_means(shots: FewShot, base: TuneConfig) -> Plan:
    found = plan(shots, base)
    assert isinstance(found, Plan)
    return replace(found, settings=[s for s in found.settings if not s.ratio_mean])


def test_a_score_of_embeddings_wins_where_logits_are_fooled(selected: Selected) -> None:
    """Energy finds far images more usual than known ones."""
    assert selected.score in OF_EMBEDDINGS
    for verdict in selected.selection.verdicts:
        assert verdict.worst("energy") < 0.1
        assert verdict.worst(selected.score) > 0.9


def test_the_winner_tells_fresh_images_from_fresh_unknown_ones(selected: Selected) -> None:
    """Of the kind that was foreseen, which the energy of the same head lets pass."""
    labels_N = labels(20)
    known_ND = embeddings(labels_N, styles(20, count=2), views=1, seed=5)[:, 0] + MODALITY_GAP_D
    unknown_ND = text(error=3.0).features_KD + 0.1 * centres().astype(np.float32)
    known, unknown = (selected.head.outputs(x_ND) for x_ND in (known_ND, unknown_ND))
    energy = fit_score("energy", Reference(known, labels_N))
    assert auroc(selected.fitted(known), selected.fitted(unknown)) > 0.95
    assert auroc(energy(known), energy(unknown)) < 0.1


def test_the_head_is_tuned_on_all_training_images_as_chosen(selected: Selected) -> None:
    """And the score is fitted on all of them, plain."""
    given = text_is_far()
    found = _plan_without_means(given, QUICK)
    assert [v.config for v in selected.selection.verdicts] == list(found.settings)
    head = tune(
        given.train_NVD, given.labels_N, text=given.text, config=selected.selection.config
    ).head
    x_ND = given.train_NVD[:, 0]
    fitted = fit_score(selected.score, Reference(head.outputs(x_ND), given.labels_N))
    np.testing.assert_array_equal(selected.logits(x_ND), head.logits(x_ND))
    assert selected.fitted.tensors().keys() == fitted.tensors().keys()
    for name, tensor in fitted.tensors().items():
        np.testing.assert_array_equal(selected.fitted.tensors()[name], tensor)


def test_a_score_of_logits_wins_where_styles_move_embeddings() -> None:
    """An image in a new style is then nearly as far from the training images as any other."""
    found = small(styles_are_far())
    assert SCORES[found.score].needs == "nothing"
    for verdict in found.verdicts:
        assert max(verdict.worst(name) for name in OF_EMBEDDINGS) < 0.8
        assert verdict.worst("energy") > 0.85


def test_cross_entropy_wins_where_the_penalty_lets_nothing_be_learned() -> None:
    """Whichever of the two comes first."""
    given = shots(text=text(error=1.4))
    croft = replace(QUICK, epochs=4, learning_rate=0.02, lambda_2=1000.0)
    plain = replace(croft, lambda_1=0.0, lambda_2=0.0, gen_steps=0)
    assert small(given, croft, plain).config == plain
    assert small(given, plain, croft).config == plain


@pytest.mark.parametrize("name", ["energy+mahalanobis", "gen+knn"])
def test_a_score_of_two_parts_is_standardised_by_what_rounds_held_out(name: str) -> None:
    """Training images would not do: each is at distance 0 of itself."""
    given = shots()
    found = replace(small(given), score=name)
    reference = Reference(_head(given).outputs(given.train_NVD[:, 0]), given.labels_N)

    fitted = fit_selected(found, reference)

    chosen = next(v for v in found.verdicts if v.config == found.config)
    parts = SCORES[name].parts
    fresh = [np.concatenate([j.fresh[part] for j in chosen.rounds]) for part in parts]
    tensors, singles = fitted.tensors(), fit_scores(reference, parts)
    np.testing.assert_allclose(tensors["mu"], [values.mean() for values in fresh])
    np.testing.assert_allclose(tensors["sigma"], [values.std() for values in fresh])
    for part, score in singles.items():
        for tensor, value in score.tensors().items():
            np.testing.assert_array_equal(tensors[f"{part}.{tensor}"], value)
    on_training = singles[parts[1]](reference.outputs).mean()
    assert tensors["mu"][1] > on_training


def test_the_chosen_setting_standardises_not_another() -> None:
    """Settings differ in how large their logits are."""
    given = shots()
    found = small(given, QUICK, replace(QUICK, ratio_image=0.9, learning_rate=0.1))
    reference = Reference(_head(given).outputs(given.train_NVD[:, 0]), given.labels_N)
    mus = [
        fit_selected(replace(found, config=v.config, score="energy+knn"), reference).tensors()["mu"]
        for v in found.verdicts
    ]
    assert mus[0][0] != mus[1][0]
    assert mus[0][1] == mus[1][1]


def test_images_to_select_by_standardise_where_there_are_any() -> None:
    """They are more, and of the head that is served."""
    given, name = shots(), "energy+mahalanobis"
    found, head = replace(small(given), score=name), _head(given)
    held_ND = embeddings(labels(5), styles(5), views=1, seed=7)[:, 0]
    reference = Reference(
        head.outputs(given.train_NVD[:, 0]), given.labels_N, held_out=head.outputs(held_ND)
    )
    fitted = fit_selected(found, reference)
    parts = fit_scores(reference, SCORES[name].parts)
    means = [score(head.outputs(held_ND)).mean() for score in parts.values()]
    np.testing.assert_allclose(fitted.tensors()["mu"], means)


def test_auto_standardises_by_images_to_select_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own head, once a score of two parts is chosen."""
    chosen = Selection(config=QUICK, score="energy+knn")
    monkeypatch.setattr("training.selection.auto.select", lambda *_: chosen)
    held_ND = embeddings(labels(5), styles(5), views=1, seed=7)[:, 0]
    given = shots(select=(held_ND, labels(5)))
    found = auto(given, QUICK)
    reference = Reference(found.head.outputs(given.train_NVD[:, 0]), given.labels_N)
    parts = fit_scores(reference, ("energy", "knn"))
    means = [score(found.head.outputs(held_ND)).mean() for score in parts.values()]
    np.testing.assert_allclose(found.fitted.tensors()["mu"], means)


def test_images_to_select_by_choose_the_epoch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labelled by the untuned head they keep it; settings and score are what they are without."""
    given = _few_rounds(monkeypatch)
    untuned = zero_shot(given.text).head
    held_ND = embeddings(labels(20), styles(20), views=1, seed=7)[:, 0]
    held = held_ND, untuned.logits(held_ND).argmax(axis=1)
    base = replace(QUICK, epochs=3, learning_rate=0.1)

    without, with_them = auto(given, base), auto(replace(given, select=held), base)

    one, other = without.selection, with_them.selection
    assert (one.config, one.score) == (other.config, other.score)
    assert [v.merit for v in one.verdicts] == [v.merit for v in other.verdicts]
    np.testing.assert_allclose(with_them.logits(held_ND), untuned.logits(held_ND), atol=1e-4)
    assert np.abs(without.logits(held_ND) - untuned.logits(held_ND)).max() > 1


def test_the_same_images_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Head, score and values."""
    given = _few_rounds(monkeypatch)
    x_ND = embeddings(labels(2), styles(2), views=1, seed=7)[:, 0]
    one, same = (auto(given, QUICK) for _ in range(2))
    assert one.score == same.score
    np.testing.assert_array_equal(one.logits(x_ND), same.logits(x_ND))
    outputs = one.head.outputs(x_ND)
    np.testing.assert_array_equal(one.fitted(outputs), same.fitted(same.head.outputs(x_ND)))


@pytest.mark.parametrize("base", [None, replace(QUICK, lambda_1=3.0)])
def test_where_nothing_can_be_judged_the_base_and_energy_are_kept(base: TuneConfig | None) -> None:
    """Without a base, epochs and seed are those that all methods are given."""
    given = shots(seed=3, epochs=2)
    one_shot = replace(
        given,
        train_NVD=given.train_NVD[:CLASSES],
        labels_N=given.labels_N[:CLASSES],
        domains_N=None,
    )
    found = auto(one_shot, base)
    x_ND = given.train_NVD[:, 0]
    assert found.selection.config == (base or TuneConfig(seed=3, epochs=2))
    assert found.selection.reason is not None
    assert found.score == "energy"
    outputs = found.head.outputs(x_ND)
    expected = fit_score("energy", Reference(outputs, given.labels_N))(outputs)
    np.testing.assert_array_equal(found.fitted(outputs), expected)


def _head(given: FewShot) -> Head:
    return tune(given.train_NVD, given.labels_N, text=given.text, config=QUICK).head


def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> FewShot:
    """Return a problem, of whose settings and rounds two are tried."""

    def few(given: FewShot, base: TuneConfig) -> Plan:
        settings = (base, replace(base, lambda_1=0.0, lambda_2=0.0, gen_steps=0))
        return Plan(settings=settings, rounds=rounds(given)[::6])

    monkeypatch.setattr("training.selection.auto.plan", few)
    return shots()
