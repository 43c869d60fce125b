"""The linear probe's model, and how C is searched."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from models.errors import DataError
from tests.training.baselines.problems import few_shot, images, plain, text
from training.baselines.few_shot import accuracy
from training.baselines.linear_probe import linear_probe, search


@pytest.mark.parametrize("best", [-5.3, -0.01, 1.27, 5.9])
def test_the_search_comes_within_an_eighth_of_a_decade(best: float) -> None:
    """For a curve with one peak."""
    found = math.log10(search(lambda c: -abs(math.log10(c) - best)))
    assert abs(found - best) <= 0.125


def test_the_search_fits_every_c_once() -> None:
    """Seven decades and two neighbours a step."""
    tried: list[float] = []

    def judge(c: float) -> float:
        tried.append(c)
        return 0.0

    search(judge)
    assert len(tried) == len(set(tried)) == 15


def test_of_equals_the_strongest_penalty_is_taken() -> None:
    """Where C makes no difference."""
    assert search(lambda _: 1.0) == 1e-6


def test_the_text_plays_no_part() -> None:
    """Other class features give the same probe."""
    x_ND, _ = plain(20, seed=4)
    one, other = (linear_probe(few_shot(text=text(error))) for error in (0.0, 9.0))
    np.testing.assert_array_equal(one.logits(x_ND), other.logits(x_ND))


def test_c_is_chosen_on_the_images_to_select_by() -> None:
    """Cross-validation and selection may differ; on the latter selection is no worse."""
    select = plain(60, seed=3)
    crossed, selected = linear_probe(few_shot()), linear_probe(few_shot(select=select))
    assert accuracy(selected.logits(select[0]), select[1]) >= accuracy(
        crossed.logits(select[0]), select[1]
    )


def test_one_image_a_class_leaves_c_at_one() -> None:
    """There is nothing to validate on."""
    train_NVD, labels_N = images(4)
    assert linear_probe(few_shot(train_NVD=train_NVD, labels_N=labels_N)).c == 1.0


def test_two_classes_have_two_logits() -> None:
    """Whose difference is the log-odds that the regression has in one row."""
    source, (train_NVD, labels_N) = text(), images(32)
    pair_N = labels_N < 2
    shots = few_shot(
        train_NVD=train_NVD[pair_N],
        labels_N=labels_N[pair_N],
        text=replace(source, features_KD=source.features_KD[:2]),
    )
    logits_NK = linear_probe(shots).logits(shots.train_NVD[:, 0])
    assert logits_NK.shape == (16, 2)
    assert accuracy(logits_NK, shots.labels_N) > 0.9


def test_a_class_without_images_is_refused() -> None:
    """A probe cannot know it."""
    train_NVD, labels_N = images(32)
    shots = few_shot(train_NVD=train_NVD, labels_N=np.minimum(labels_N, 2))
    with pytest.raises(DataError, match=r"an image of each; without images: \[3\], of 4"):
        linear_probe(shots)
