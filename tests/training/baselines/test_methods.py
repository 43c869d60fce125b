"""Every method learns, repeats itself, and takes the same arguments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import ConfigError
from tests.training.baselines.problems import (
    CLASSES,
    DIM,
    backbone_text,
    few_shot,
    fresh_accuracy,
    images,
    plain,
    text,
)
from training.baselines.few_shot import accuracy
from training.baselines.methods import AUTO, METHODS, applicable
from training.selection.auto import Selected

ZERO_SHOT = ["zero-shot", "zero-shot ensemble"]
QUICK = [name for name in applicable(text()) if name != AUTO]
"""Methods that tune once at most."""
LEARNING = [name for name in QUICK if name not in ZERO_SHOT]


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("selected", [False, True])
def test_learning_beats_the_text_alone(name: str, selected: bool) -> None:
    """On fresh images of the same clusters, with and without images to select by."""
    shots = few_shot(select=plain(40, seed=3) if selected else None)
    assert fresh_accuracy(METHODS[name](shots)) > fresh_accuracy(METHODS["zero-shot"](shots))


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_zero_shot_beats_chance(name: str) -> None:
    """Text that roughly fits is worth something."""
    assert fresh_accuracy(METHODS[name](few_shot())) > 1.5 / CLASSES


def test_zero_shot_uses_the_single_template_and_the_ensemble_all() -> None:
    """Two text features, two classifiers; without a single template they are one."""
    shots = few_shot(single=text(error=5.0).features_KD)
    x_ND, _ = plain(20, seed=4)
    single, ensemble = (METHODS[name](shots).logits(x_ND) for name in ZERO_SHOT)
    assert np.abs(single - ensemble).max() > 1
    alone, same = (METHODS[name](few_shot()).logits(x_ND) for name in ZERO_SHOT)
    np.testing.assert_array_equal(alone, same)
    np.testing.assert_array_equal(alone, ensemble)


@pytest.mark.parametrize("name", QUICK)
def test_logits_are_one_row_an_image_whatever_its_length(name: str) -> None:
    """(B, K) float64, finite, and the same for embeddings of another length."""
    x_ND, _ = plain(7, seed=4)
    classifier = METHODS[name](few_shot(epochs=2))
    logits_NK = classifier.logits(x_ND)
    assert logits_NK.shape == (7, CLASSES)
    assert logits_NK.dtype == np.float64
    assert np.all(np.isfinite(logits_NK))
    np.testing.assert_allclose(classifier.logits(3 * x_ND), logits_NK, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", QUICK)
def test_the_same_arguments_give_the_same_bits(name: str) -> None:
    """Also on another number of torch's threads, which is left as it was."""
    x_ND, _ = plain(50, seed=4)
    shots = few_shot(epochs=3, seed=2)
    first_NK = METHODS[name](shots).logits(x_ND)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    second_NK = METHODS[name](shots).logits(x_ND)
    left_alone = torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(first_NK, second_NK)
    assert left_alone


@pytest.mark.parametrize("name", ["Tip-Adapter-F", "CLIP-Adapter", "cross-entropy", "CRoFT"])
def test_another_seed_trains_otherwise(name: str) -> None:
    """Where batches and views are drawn, the seed draws them."""
    x_ND, _ = plain(20, seed=4)
    first_NK, second_NK = (
        METHODS[name](few_shot(epochs=3, seed=seed)).logits(x_ND) for seed in (0, 1)
    )
    assert not np.array_equal(first_NK, second_NK)


@pytest.mark.parametrize("name", ["Tip-Adapter-F", "CLIP-Adapter"])
def test_the_epoch_is_chosen_by_the_images_to_select_by(name: str) -> None:
    """Trained on wrong labels, text that fits is kept as it is."""
    train_NVD, labels_N = images(32)
    select = plain(80, seed=3)
    shots = few_shot(
        train_NVD=train_NVD,
        labels_N=(labels_N + 1) % CLASSES,
        text=text(error=0.0),
        select=select,
    )
    kept, last = (METHODS[name](s) for s in (shots, replace(shots, select=None, epochs=200)))
    assert accuracy(kept.logits(select[0]), select[1]) > 0.9
    assert accuracy(last.logits(select[0]), select[1]) < 0.9


def test_cross_entropy_is_not_croft() -> None:
    """The terms make a difference."""
    x_ND, _ = plain(20, seed=4)
    logits = [METHODS[name](few_shot()).logits(x_ND) for name in ("cross-entropy", "CRoFT")]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_auto_brings_a_score_and_tries_no_prompts(tmp_path: Path) -> None:
    """Also where there is a text encoder; the seed and the epochs are everyone's."""
    train_NVD, labels_N = images(8, views=1)
    shots = few_shot(
        train_NVD=train_NVD, labels_N=labels_N, text=backbone_text(tmp_path), epochs=1, seed=3
    )

    chosen = METHODS[AUTO](shots)

    assert isinstance(chosen, Selected)
    tried = [verdict.config for verdict in chosen.selection.verdicts]
    assert len(tried) > 1
    assert {(c.tuning, c.seed, c.epochs) for c in tried} == {("adapter", 3, 1)}
    logits_NK = chosen.logits(plain(7, seed=4)[0])
    assert logits_NK.shape == (7, CLASSES)
    assert np.all(np.isfinite(logits_NK))


def test_auto_without_anything_to_select_by_is_croft_and_the_energy() -> None:
    """Three classes cannot play known and unknown."""
    given = few_shot(epochs=2)
    rows = given.labels_N < 3
    three = replace(
        given,
        train_NVD=given.train_NVD[rows],
        labels_N=given.labels_N[rows],
        text=given.text.of_classes(np.arange(3)),
    )
    x_ND, _ = plain(20, seed=4)

    chosen, croft = METHODS[AUTO](three), METHODS["CRoFT"](three)

    assert isinstance(chosen, Selected)
    assert chosen.score == "energy"
    np.testing.assert_array_equal(chosen.logits(x_ND), croft.logits(x_ND))


def test_coop_learns_a_context(tmp_path: Path) -> None:
    """On the images it trains on it beats the text it starts from."""
    shots = few_shot(text=backbone_text(tmp_path))
    x_ND, labels_N = shots.train_NVD[:, 0], shots.labels_N
    zero_shot, coop = (
        accuracy(METHODS[name](shots).logits(x_ND), labels_N) for name in ("zero-shot", "CoOp")
    )
    assert coop > zero_shot


def test_coop_needs_a_text_encoder() -> None:
    """The refusal names the method and the encoder."""
    with pytest.raises(ConfigError, match=r"CoOp learns prompts .* `made up` does not have"):
        METHODS["CoOp"](few_shot())


def test_coop_is_applicable_with_a_text_encoder_only(tmp_path: Path) -> None:
    """All the others always are."""
    assert set(METHODS) - set(applicable(text())) == {"CoOp"}
    assert applicable(backbone_text(tmp_path)) == list(METHODS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_NVD": np.ones((32, DIM), np.float32)}, r"must be \(N, V, 16\), got \(32, 16\)"),
        ({"train_NVD": np.ones((32, 1, 8), np.float32)}, r"\(N, V, 16\), got \(32, 1, 8\)"),
        ({"labels_N": np.zeros(31, np.int64)}, r"Labels must be 32 of 0\.\.3, got \(31,\)"),
        ({"labels_N": np.full(32, CLASSES)}, r"Labels must be 32 of 0\.\.3"),
        ({"select": (np.ones((5, DIM), np.float32), np.full(5, -1))}, r"Labels must be 5 of"),
        ({"single": np.ones((3, DIM), np.float32)}, r"`single` must be \(4, 16\), got \(3, 16\)"),
        ({"epochs": 0}, "`epochs` must be > 0, got 0"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes: dict[str, Any], message: str) -> None:
    """Once for all methods, before any of them starts."""
    with pytest.raises(ConfigError, match=message):
        few_shot(**changes)
