"""Each image and each class plays every part as often as it should, and none plays two at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.selection.problems import (
    CLASSES,
    Labels,
    embeddings,
    labels,
    parts,
    shots,
    styles,
)
from training.baselines.few_shot import FewShot
from training.selection.rounds import LEAST_CLASSES, Round, by_domain, rounds, why_not

# Axes: N images, K classes.

GROUPS = 3
NAMES = ["cup", "tree", "boat", "door", "lamp", "key"]

Make = Callable[[], FewShot]


def _without_styles() -> FewShot:
    return shots(domains_N=None)


def _one_style_of_a_class() -> FewShot:
    domains_N = styles(8)
    return shots(domains_N=np.where(labels(8) == 2, 1, domains_N))


def _one_style() -> FewShot:
    return shots(domains_N=np.full(len(labels(8)), 3))


def _two_styles() -> FewShot:
    return shots(domains_N=styles(8, count=2))


def _six_styles() -> FewShot:
    return shots(per_class=12, domains_N=styles(12, count=6))


def _unequal_classes() -> FewShot:
    """Return two images of one class, three of another and more of the rest, without styles."""
    kept_N = ~((labels(8) == 0) & (styles(8, count=8) >= 2))
    kept_N &= ~((labels(8) == 1) & (styles(8, count=8) >= 3))
    return _of(shots(domains_N=None), kept_N)


def _rare_style() -> FewShot:
    """Return four styles of which one has images of a single class."""
    return _of(shots(), (styles(8) != 3) | (labels(8) == 5))


def _of(given: FewShot, kept_N: NDArray[np.bool_]) -> FewShot:
    domains_N = None if given.domains_N is None else given.domains_N[kept_N]
    return replace(
        given,
        train_NVD=given.train_NVD[kept_N],
        labels_N=given.labels_N[kept_N],
        domains_N=domains_N,
    )


def _held_out(round_: Round) -> NDArray[np.int64]:
    return np.concatenate([round_.known, round_.left_out])


def _styles_of(given: FewShot, rows: NDArray[np.int64]) -> list[int]:
    assert given.domains_N is not None
    return [int(style) for style in np.unique(given.domains_N[rows])]


STYLED = [shots, _two_styles, _six_styles, _rare_style]
PLAIN = [_without_styles, _one_style, _one_style_of_a_class, _unequal_classes]


@pytest.mark.parametrize("make", [*STYLED, *PLAIN])
def test_no_image_plays_two_parts(make: Make) -> None:
    """Kept classes train and are held out; classes that are left out do nothing else."""
    given = make()
    for round_ in rounds(given):
        rows = np.concatenate(parts(round_))
        assert len(np.unique(rows)) == len(rows)
        assert np.all(np.isin(given.labels_N[round_.train], round_.kept_C))
        assert np.all(np.isin(given.labels_N[round_.known], round_.kept_C))
        assert not np.any(np.isin(given.labels_N[round_.left_out], round_.kept_C))


@pytest.mark.parametrize("make", PLAIN)
def test_without_styles_every_image_plays_a_part(make: Make) -> None:
    """All images of left-out classes are unknown."""
    given = make()
    for round_ in rounds(given):
        rows = np.sort(np.concatenate(parts(round_)))
        np.testing.assert_array_equal(rows, np.arange(len(given.labels_N)))


@pytest.mark.parametrize("make", STYLED)
def test_with_styles_left_out_classes_in_the_others_play_none(make: Make) -> None:
    """All that is missing is of left-out classes, in styles that were trained on."""
    given = make()
    for round_ in rounds(given):
        none = np.setdiff1d(np.arange(len(given.labels_N)), np.concatenate(parts(round_)))
        assert len(none) > 0
        assert not np.any(np.isin(given.labels_N[none], round_.kept_C))
        assert not set(_styles_of(given, none)) & set(_styles_of(given, round_.known))


@pytest.mark.parametrize("make", [*STYLED, *PLAIN])
def test_every_round_can_be_trained_and_judged(make: Make) -> None:
    """All kept classes have images to train on, and some image of them is held out."""
    given = make()
    for round_ in rounds(given):
        np.testing.assert_array_equal(np.unique(given.labels_N[round_.train]), round_.kept_C)
        assert len(round_.known) > 0


@pytest.mark.parametrize(
    ("make", "folds"),
    [
        (shots, 4),
        (_two_styles, 2),
        (_six_styles, 4),
        (_without_styles, 4),
        (_one_style_of_a_class, 4),
        (_unequal_classes, 2),
    ],
)
def test_every_image_plays_every_part_equally_often(make: Make, folds: int) -> None:
    """A fold is held out once for each group of classes, and a group once for each fold."""
    given = make()
    found = rounds(given)
    assert len(found) == folds * GROUPS
    unknown = 1 if make in STYLED else folds
    for part, times in (("train", 2 * (folds - 1)), ("known", 2), ("left_out", unknown)):
        rows = np.concatenate([getattr(round_, part) for round_ in found])
        count_N = np.bincount(rows, minlength=len(given.labels_N))
        np.testing.assert_array_equal(count_N, times)


@pytest.mark.parametrize("make", [shots, _two_styles, _rare_style])
def test_a_fold_is_a_style(make: Make) -> None:
    """What is held out has one style, which no image to train on has."""
    given = make()
    met = set()
    for round_ in rounds(given):
        (style,) = _styles_of(given, _held_out(round_))
        assert style not in _styles_of(given, round_.train)
        met.add(style)
    assert met == set(_styles_of(given, np.arange(len(given.labels_N))))


@pytest.mark.parametrize("make", [shots, _two_styles, _six_styles])
def test_every_style_has_every_class(make: Make) -> None:
    """As known or as unknown, where the images have them all."""
    given = make()
    for round_ in rounds(given):
        assert set(given.labels_N[_held_out(round_)]) == set(range(CLASSES))


def test_more_than_four_styles_share_folds() -> None:
    """A style is never divided."""
    given = _six_styles()
    held = {tuple(_styles_of(given, _held_out(round_))) for round_ in rounds(given)}
    assert sorted(style for fold in held for style in fold) == list(range(6))
    assert len(held) == 4


def test_what_styles_are_numbered_by_does_not_matter() -> None:
    """Their order alone does."""
    given = shots()
    assert given.domains_N is not None
    other = replace(given, domains_N=10 + 7 * given.domains_N)
    for one, same in zip(rounds(given), rounds(other), strict=True):
        for rows, same_rows in zip(parts(one), parts(same), strict=True):
            np.testing.assert_array_equal(rows, same_rows)


@pytest.mark.parametrize("make", PLAIN)
def test_without_styles_every_fold_has_every_kept_class(make: Make) -> None:
    """A class in a single style could not be trained on without it: then images are divided."""
    given = make()
    for round_ in rounds(given):
        np.testing.assert_array_equal(np.unique(given.labels_N[round_.known]), round_.kept_C)


def test_a_class_in_a_single_style_has_images_divided_at_random() -> None:
    """Every fold then has images of several styles."""
    given = _one_style_of_a_class()
    assert all(len(_styles_of(given, round_.known)) > 1 for round_ in rounds(given))


def test_styles_that_share_a_fold_are_not_two() -> None:
    """Of six, the first and the fifth are held out together: a class of these two has no third."""
    domains_N = styles(12, count=6)
    first_or_fifth_N = np.where(domains_N % 2 == 0, 0, 4)
    given = shots(per_class=12, domains_N=np.where(labels(12) == 1, first_or_fifth_N, domains_N))
    for round_ in rounds(given):
        np.testing.assert_array_equal(np.unique(given.labels_N[round_.train]), round_.kept_C)
        assert len(_styles_of(given, round_.known)) > 2


def test_classes_are_divided_into_thirds() -> None:
    """Of six two each; of four two, one and one."""
    assert {len(round_.kept_C) for round_ in rounds(shots())} == {4}
    four = _of(shots(), labels(8) < 4)
    four = replace(four, text=four.text.of_classes(np.arange(4)))
    assert sorted(len(round_.kept_C) for round_ in rounds(four)[:GROUPS]) == [2, 3, 3]


def test_rounds_repeat_themselves_by_seed() -> None:
    """Equal seeds give equal rounds; others leave other classes out together."""
    given = _without_styles()
    first, same, other = (rounds(replace(given, seed=seed)) for seed in (0, 0, 1))
    for one, two in zip(first, same, strict=True):
        assert all(map(np.array_equal, parts(one), parts(two)))
    kept = [{tuple(round_.kept_C) for round_ in found} for found in (first, other)]
    assert kept[0] != kept[1]
    assert not any(map(np.array_equal, parts(first[0]), parts(other[0])))


def test_four_classes_of_two_images_suffice() -> None:
    """And nothing less."""
    labels_N = labels(2)[labels(2) < LEAST_CLASSES]
    few = shots(
        train_NVD=embeddings(labels_N, np.zeros_like(labels_N), views=1, seed=0),
        labels_N=labels_N,
        text=shots().text.of_classes(np.arange(LEAST_CLASSES)),
        domains_N=None,
    )
    assert why_not(few.labels_N, NAMES[:LEAST_CLASSES]) is None
    assert len(rounds(few)) == 2 * GROUPS


def test_fewer_than_four_classes_are_too_few() -> None:
    """The reason has their number."""
    reason = why_not(np.repeat(np.arange(3), 8), NAMES[:3])
    assert reason is not None
    assert "there are 3 classes" in reason
    assert "fewer than 4" in reason


@pytest.mark.parametrize("images", [0, 1])
def test_a_class_with_one_image_cannot_be_held_out(images: int) -> None:
    """Nor one with none, the last class included; it is named, and what would help is said."""
    kept_N = (labels(8) != CLASSES - 1) | (styles(8, count=8) < images)
    reason = why_not(labels(8)[kept_N], NAMES)
    assert reason is not None
    assert "none to hold out of key: give --shots 2 or more, or more images" in reason


def test_no_more_than_three_classes_are_named() -> None:
    """A thousand would fill the screen."""
    reason = why_not(np.arange(CLASSES), NAMES)
    assert reason is not None
    assert "of cup, tree, boat and 3 more: give" in reason


def test_images_that_belong_together_are_in_one_fold() -> None:
    """And count as one image where a class has no other."""
    labels_N, twins_N = np.tile(np.repeat(np.arange(4), 6), 2), np.tile(np.arange(24), 2)
    given = _grouped(labels_N, twins_N)
    for round_ in rounds(given):
        assert not set(twins_N[round_.train]) & set(twins_N[round_.known])
        assert sorted(Counter(twins_N[round_.known]).values()) == [2] * (len(round_.known) // 2)
    assert why_not(labels_N, NAMES[:4], twins_N) is None
    assert why_not(labels_N, NAMES[:4], labels_N) is not None


def _grouped(labels_N: Labels, units_N: Labels, domains_N: Labels | None = None) -> FewShot:
    """Return images of so many classes as there are labels, some of which belong together."""
    classes = int(labels_N.max()) + 1
    return shots(
        train_NVD=embeddings(labels_N, np.zeros_like(labels_N), views=1, seed=0),
        labels_N=labels_N,
        text=shots().text.of_classes(np.arange(classes)),
        domains_N=domains_N,
        units_N=units_N,
    )


def _never_both(given: FewShot) -> None:
    """Check that no image that is judged belongs to one that is tuned on."""
    assert given.units_N is not None
    for round_ in rounds(given):
        judged = given.units_N[_held_out(round_)]
        assert not set(judged) & set(given.units_N[round_.train])


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_run_across_classes_and_styles_are_never_tuned_on_and_judged(seed: int) -> None:
    """Neither as known nor as unknown images; with styles and without."""
    rng = np.random.default_rng(seed)
    labels_N, domains_N = labels(8), styles(8)
    units_N = np.where(rng.random(48) < 0.5, rng.integers(8, size=48), 8 + np.arange(48))
    for given in (_grouped(labels_N, units_N), _grouped(labels_N, units_N, domains_N)):
        assert len(rounds(given)) >= 9
        _never_both(given)


def test_a_group_of_several_classes_is_held_out_whole() -> None:
    """Each scene shows all six classes: a quarter of the scenes is known in each round."""
    scenes_N = np.arange(48) // CLASSES
    given = _grouped(labels(8), scenes_N)
    found = rounds(given)
    assert len(found) == 4 * GROUPS
    for round_ in found:
        assert sorted(Counter(scenes_N[round_.known]).values()) == [4, 4]
        assert set(scenes_N[round_.left_out]) == set(scenes_N[round_.known])
    _never_both(given)


def test_a_class_of_two_groups_has_them_in_two_folds() -> None:
    """It is dealt first: a larger one would put both of its groups into any fold."""
    first = np.repeat([0, 1, 2], 12), np.arange(36)
    labels_N, units_N = np.append(first[0], [3, 3]), np.append(first[1], [0, 12])
    for seed in range(10):
        found = rounds(replace(_grouped(labels_N, units_N), seed=seed))
        assert len(found) == 2 * GROUPS


def test_a_fold_that_leaves_nothing_to_tune_on_is_not_held_out() -> None:
    """Three classes share two groups each of three: two of them must lie in one fold."""
    labels_N = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    units_N = np.array([0, 1, 1, 2, 2, 0, 3, 4])
    found = rounds(_grouped(labels_N, units_N))
    assert 0 < len(found) < 2 * GROUPS
    for round_ in found:
        np.testing.assert_array_equal(np.unique(labels_N[round_.train]), round_.kept_C)
    _never_both(_grouped(labels_N, units_N))


def test_where_every_group_is_in_every_style_folds_are_no_styles() -> None:
    """Nothing of a style could be judged; a few such groups do no harm."""
    everywhere_N = np.tile(np.arange(12), 4)
    given = _grouped(labels(8), everywhere_N, styles(8))
    assert not by_domain(given)
    assert len(rounds(given)) == 2 * GROUPS
    _never_both(given)
    few_N = np.where(everywhere_N < 3, everywhere_N, 12 + np.arange(48))
    assert by_domain(_grouped(labels(8), few_N, styles(8)))
