"""What a comparison takes and what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import ConfigError
from training.baselines.methods import METHODS
from training.class_names import ClassSpec, default_spec
from training.comparison.judge import COMPARED
from training.comparison.methods import chosen_methods, chosen_scores, left_out
from training.data import Item
from training.trial import Trial

NAMES = list(METHODS)
ITEMS = tuple(
    Item(path=Path(name), label=name, domain=None, split=None, group=None, digest=f"sha256:{name}")
    for name in ("cat", "dog")
)
TRIAL = Trial(
    name="pets",
    seed=1,
    classes=(default_spec("cat"), default_spec("dog")),
    train=ITEMS,
    known={"test": ITEMS},
)
SEVERAL = tuple(
    ClassSpec(name=name, display_name=name, prompts=(f"a {name}.", f"one {name}."))
    for name in ("cat", "dog")
)


def test_none_means_all_and_names_keep_the_usual_order() -> None:
    """Whatever the order in which they are given, and with spaces."""
    assert chosen_methods(None) == NAMES
    assert chosen_methods("CRoFT, zero-shot") == ["zero-shot", "CRoFT"]
    assert chosen_scores(None) == list(COMPARED)
    assert chosen_scores("gen+knn,knn,energy") == ["energy", "knn", "gen+knn"]


def test_a_name_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """Also a score that needs more than there is."""
    with pytest.raises(
        ConfigError, match=r"--methods has 'Croft'; there are: zero-shot, .* CRoFT, auto\."
    ):
        chosen_methods("Croft,zero-shot")
    with pytest.raises(
        ConfigError, match=r"--scores has 'neglabel'; there are: energy, .* gen\+knn"
    ):
        chosen_scores("neglabel")


def test_without_a_text_encoder_coop_is_left_out() -> None:
    """And says what it lacks; with one it is not."""
    with_none = left_out(NAMES, trials=[TRIAL], text_encoder=False)
    with_one = left_out(NAMES, trials=[TRIAL], text_encoder=True)

    assert "text encoder" in with_none["CoOp"]
    assert set(with_none) == {"CoOp", "zero-shot ensemble"}
    assert set(with_one) == {"zero-shot ensemble"}


def test_the_ensemble_needs_several_prompts() -> None:
    """Of some class in every trial."""
    several = replace(TRIAL, classes=SEVERAL)

    assert left_out(NAMES, trials=[several], text_encoder=True) == {}
    assert "zero-shot ensemble" in left_out(NAMES, trials=[several, TRIAL], text_encoder=True)
    assert "zero-shot ensemble" in left_out(NAMES, trials=[several], text_encoder=False)


def test_a_class_without_training_images_is_too_little_for_the_linear_probe() -> None:
    """Before an hour of work rather than after."""
    lacking = replace(TRIAL, train=ITEMS[:1])

    assert "linear probe" in left_out(NAMES, trials=[TRIAL, lacking], text_encoder=True)
    assert left_out(["CRoFT"], trials=[lacking], text_encoder=True) == {}


def test_auto_is_compared_where_it_has_nothing_to_select_by() -> None:
    """Two classes, one of them without images: defaults stand in."""
    lacking = replace(TRIAL, train=ITEMS[:1])

    assert left_out(["auto"], trials=[TRIAL, lacking], text_encoder=False) == {}
