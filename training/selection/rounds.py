"""Who plays the unknown: rounds that leave out a domain or a part of the images, and some classes.

Images that must stay together, a unit, are never both tuned on and judged.
Axes: N images, K classes, C classes that are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.baselines.few_shot import FewShot
from training.class_names import listed
from training.tune import Labels

Rows = NDArray[np.int64]

LEAST_CLASSES: Final = 4
"""Fewer cannot be divided into known and unknown ones that resemble the task."""
_FOLDS: Final = 4
_GROUPS: Final = 3
"""Parts of the classes: each is left out once a fold, so that two thirds stay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Images by row; classes by index."""

    kept_C: Rows
    """The classes that stay known."""
    train: Rows
    """To tune on: of kept classes, outside the fold."""
    known: Rows
    """To judge by: of kept classes, in the fold."""
    left_out: Rows
    """Of left-out classes: in the fold's domain, if folds are domains; none that must stay together
    with an image to tune on."""


def why_not(labels_N: Labels, names: Sequence[str], units_N: Labels | None = None) -> str | None:
    """Return why known images cannot stand in for unknown ones here; None if they can.

    Args:
        labels_N: of the training images.
        names: of the classes.
        units_N: which images must stay together.
    """
    if len(names) < LEAST_CLASSES:
        return (
            f"there are {len(names)} classes, and with fewer than {LEAST_CLASSES} none can be left "
            "out to play the unknown while a task remains"
        )
    counts_K = _distinct_K(labels_N, len(names), _alone_or(units_N, len(labels_N)))
    if counts_K.min() < 2:
        few = [name for name, count in zip(names, counts_K, strict=True) if count < 2]
        return (
            "fewer than two training images, or groups of them, leave none to hold out of "
            f"{listed(few, limit=3)}: give --shots 2 or more, or more images or groups of these"
        )
    return None


def rounds(shots: FewShot) -> list[Round]:
    """Leave out each fold and each group of classes together, in turn.

    A fold is a domain where every class has images of two or more, else a quarter of each
    class's images. A domain without any image of the classes that stay is not left out with them,
    and no fold is that would leave nothing to tune on of one of them.
    """
    classes = len(shots.text.features_KD)
    rng = np.random.default_rng(shots.seed)
    groups = np.array_split(rng.permutation(classes), _GROUPS)
    fold_N = _domain_folds(shots)
    crossed = fold_N is not None
    if fold_N is None:
        fold_N = _random_folds(shots, rng)
    found = [
        _round(shots, fold_N == fold, group, crossed=crossed)
        for fold in range(int(fold_N.max()) + 1)
        for group in groups
    ]
    return [
        round_
        for round_ in found
        if len(round_.known) and np.isin(round_.kept_C, shots.labels_N[round_.train]).all()
    ]


def by_domain(shots: FewShot) -> bool:
    """Tell whether rounds leave out domains, rather than parts of each class's images."""
    return _domain_folds(shots) is not None


def _domain_folds(shots: FewShot) -> Rows | None:
    """Return each image's domain, or a group of domains, if every class stays without any one.

    Images of a unit that lies in several cannot be judged, and do not count.
    """
    if shots.domains_N is None:
        return None
    fold_N: Rows = np.unique(shots.domains_N, return_inverse=True)[1] % _FOLDS
    units_N = _alone_or(shots.units_N, len(fold_N))
    whole_N = _distinct_K(units_N, int(units_N.max()) + 1, fold_N)[units_N] == 1
    folds_K = _distinct_K(shots.labels_N[whole_N], len(shots.text.features_KD), fold_N[whole_N])
    return fold_N if folds_K.min() > 1 else None


def _random_folds(shots: FewShot, rng: np.random.Generator) -> Rows:
    """Divide the units of each class evenly; one of several classes keeps the fold it got first."""
    classes, labels_N = len(shots.text.features_KD), shots.labels_N
    units_N = _alone_or(shots.units_N, len(labels_N))
    counts_K = _distinct_K(labels_N, classes, units_N)
    shuffled = [rng.permutation(np.unique(units_N[labels_N == k])).tolist() for k in range(classes)]
    fold_of: dict[int, int] = {}
    # Those with the least choice choose first.
    for label in np.argsort(counts_K, kind="stable"):
        held = np.bincount(
            [fold_of[unit] for unit in shuffled[label] if unit in fold_of],
            minlength=min(_FOLDS, int(counts_K.min())),
        )
        for unit in shuffled[label]:
            if unit not in fold_of:
                fold_of[unit] = int(held.argmin())
                held[fold_of[unit]] += 1
    return np.array([fold_of[unit] for unit in units_N.tolist()], dtype=np.int64)


def _alone_or(units_N: Labels | None, count: int) -> Rows:
    """Return the units; without any, each image is one."""
    return np.arange(count) if units_N is None else units_N


def _distinct_K(labels_N: Labels, classes: int, values_N: Rows) -> Rows:
    """Return how many different values the images of each class have, (K,)."""
    pairs = np.unique(np.stack([labels_N, values_N]), axis=1)
    return np.bincount(pairs[0], minlength=classes)


def _round(shots: FewShot, held_N: NDArray[np.bool_], group: Rows, *, crossed: bool) -> Round:
    out_N = np.isin(shots.labels_N, group)
    train_N = ~held_N & ~out_N
    units_N = _alone_or(shots.units_N, len(held_N))
    unseen_N = ~np.isin(units_N, units_N[train_N])
    return Round(
        kept_C=np.setdiff1d(np.arange(len(shots.text.features_KD)), group),
        train=np.flatnonzero(train_N),
        known=np.flatnonzero(held_N & ~out_N & unseen_N),
        left_out=np.flatnonzero((held_N & out_N if crossed else out_N) & unseen_N),
    )
