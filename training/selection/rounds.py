"""Who plays the unknown: rounds that leave out a domain or a part of the images, and some classes.

Axes: N images, K classes, C classes that are kept.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.baselines.few_shot import FewShot
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
    """Of left-out classes: in the fold's domain, if folds are domains."""


def why_not(labels_N: Labels, classes: int, units_N: Labels | None = None) -> str | None:
    """Return why known images cannot stand in for unknown ones here; None if they can.

    Args:
        labels_N: of the training images.
        classes: how many there are.
        units_N: which images must stay together.
    """
    if classes < LEAST_CLASSES:
        return (
            f"there are {classes} classes, and with fewer than {LEAST_CLASSES} none can be left "
            "out to play the unknown while a task remains"
        )
    if _units_K(labels_N, classes, units_N).min() < 2:
        return "a class has fewer than two training images, or groups of them, to hold one out"
    return None


def rounds(shots: FewShot) -> list[Round]:
    """Leave out each fold and each group of classes together, in turn.

    A fold is a domain where every class has images of two or more, else a quarter of each
    class's images. A domain without any image of the classes that stay is not left out with them.
    """
    classes = len(shots.text.features_KD)
    rng = np.random.default_rng(shots.seed)
    groups = np.array_split(rng.permutation(classes), _GROUPS)
    fold_N = _domain_folds(shots)
    crossed = fold_N is not None
    if fold_N is None:
        fold_N = _random_folds(shots, rng)
    found = [
        _round(shots.labels_N, fold_N == fold, group, classes, crossed=crossed)
        for fold in range(int(fold_N.max()) + 1)
        for group in groups
    ]
    return [round_ for round_ in found if len(round_.known)]


def by_domain(shots: FewShot) -> bool:
    """Tell whether rounds leave out domains, rather than parts of each class's images."""
    return _domain_folds(shots) is not None


def _domain_folds(shots: FewShot) -> Rows | None:
    """Return each image's domain, or a group of domains, if every class stays without any one."""
    if shots.domains_N is None:
        return None
    fold_N: Rows = np.unique(shots.domains_N, return_inverse=True)[1] % _FOLDS
    pairs = set(zip(shots.labels_N.tolist(), fold_N.tolist(), strict=True))
    return fold_N if np.bincount([label for label, _ in pairs]).min() > 1 else None


def _random_folds(shots: FewShot, rng: np.random.Generator) -> Rows:
    """Divide the images of each class evenly; those that must stay together do."""
    labels_N = shots.labels_N
    units_N = np.arange(len(labels_N)) if shots.units_N is None else shots.units_N
    classes = len(shots.text.features_KD)
    folds = min(_FOLDS, int(_units_K(labels_N, classes, shots.units_N).min()))
    fold_N = np.zeros(len(labels_N), dtype=np.int64)
    for label in range(classes):
        rows = np.flatnonzero(labels_N == label)
        units = rng.permutation(np.unique(units_N[rows]))
        fold_of = {unit: i % folds for i, unit in enumerate(units.tolist())}
        fold_N[rows] = [fold_of[unit] for unit in units_N[rows].tolist()]
    return fold_N


def _units_K(labels_N: Labels, classes: int, units_N: Labels | None) -> Rows:
    """Return how many images a class has, (K,), counting those that stay together once."""
    units_N = np.arange(len(labels_N)) if units_N is None else units_N
    pairs = np.unique(np.stack([labels_N, units_N]), axis=1)
    return np.bincount(pairs[0], minlength=classes)


def _round(
    labels_N: Labels, held_N: NDArray[np.bool_], group: Rows, classes: int, *, crossed: bool
) -> Round:
    out_N = np.isin(labels_N, group)
    return Round(
        kept_C=np.setdiff1d(np.arange(classes), group),
        train=np.flatnonzero(~held_N & ~out_N),
        known=np.flatnonzero(held_N & ~out_N),
        left_out=np.flatnonzero(held_N & out_N if crossed else out_N),
    )
