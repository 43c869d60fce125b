"""Tip-Adapter's formula, keys, search and tuning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.baselines.problems import few_shot, plain, text
from training.baselines.few_shot import accuracy
from training.baselines.tip_adapter import ALPHA, BETA, TipAdapter, tip_adapter, tip_adapter_f


def test_logits_by_hand() -> None:
    """Two cached images of the first class at 0 and 90 degrees, an image at 60 from the first."""
    tip = TipAdapter(
        keys_MD=np.array([[1.0, 0.0], [0.0, 1.0]]),
        values_MK=np.array([[1.0, 0.0], [1.0, 0.0]]),
        prototypes_KD=np.array([[1.0, 0.0], [0.0, 1.0]]),
        logit_scale=10.0,
        alpha=2.0,
        beta=3.0,
    )
    cosine, sine = 0.5, np.sqrt(3) / 2
    cache = np.exp(-3 * (1 - cosine)) + np.exp(-3 * (1 - sine))
    expected_BK = [[10 * cosine + 2 * cache, 10 * sine]]
    logits_BK = tip.logits(np.array([[2.0, 2 * np.sqrt(3)]], dtype=np.float32))
    np.testing.assert_allclose(logits_BK, expected_BK, rtol=1e-6)


def test_a_key_is_the_mean_of_the_views_directions() -> None:
    """A view counts alike however long it is, and keys are of unit length."""
    shots = few_shot()
    train_NVD = shots.train_NVD.copy()
    train_NVD[:, 1] *= 7
    directions_NVD = train_NVD / np.linalg.norm(train_NVD, axis=2, keepdims=True)
    means_ND = directions_NVD.mean(axis=1)
    expected_ND = means_ND / np.linalg.norm(means_ND, axis=1, keepdims=True)
    keys_MD = tip_adapter(replace(shots, train_NVD=train_NVD)).keys_MD
    np.testing.assert_allclose(keys_MD, expected_ND, atol=1e-6)


def test_without_images_to_select_by_the_papers_values_stand() -> None:
    """alpha 1 and beta 5.5; not the other way round."""
    tip = tip_adapter(few_shot())
    assert (tip.alpha, tip.beta) == (ALPHA, BETA) == (1.0, 5.5)


def test_the_search_finds_no_worse_a_pair() -> None:
    """On the images to select by, against the paper's values."""
    select = plain(80, seed=3)
    shots = few_shot(select=select, text=text(error=3.0))
    paper, searched = tip_adapter(replace(shots, select=None)), tip_adapter(shots)
    assert (searched.alpha, searched.beta) != (paper.alpha, paper.beta)
    assert 0.1 <= searched.alpha < 3
    assert 0.1 <= searched.beta < 7
    assert accuracy(searched.logits(select[0]), select[1]) >= accuracy(
        paper.logits(select[0]), select[1]
    )


@pytest.mark.parametrize("selected", [False, True])
def test_without_a_step_it_is_tip_adapter(selected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with and without a search."""
    monkeypatch.setattr("training.baselines.tip_adapter.descend", lambda *_, **__: None)
    shots = few_shot(select=plain(40, seed=3) if selected else None)
    x_ND, _ = plain(50, seed=4)
    np.testing.assert_array_equal(
        tip_adapter_f(shots).logits(x_ND), tip_adapter(shots).logits(x_ND)
    )


def test_tuning_moves_the_keys_alone() -> None:
    """The cached labels and the text stay."""
    still, moved = tip_adapter(few_shot()), tip_adapter_f(few_shot())
    assert np.abs(still.keys_MD - moved.keys_MD).max() > 1e-3
    np.testing.assert_array_equal(still.values_MK, moved.values_MK)
    np.testing.assert_array_equal(still.prototypes_KD, moved.prototypes_KD)
