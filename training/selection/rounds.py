"""Who plays the unknown: rounds that leave out a style or a part of the images, and some classes.

Axes: N images, K classes, C classes that are kept.
"""

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Round:
    """Images by row; classes by index."""

    kept_C: Rows
    """The classes that stay known."""
    train: Rows
    """To tune on: of kept classes, outside the fold."""
    known: Rows
    """To judge by: of kept classes, in the fold."""
    left_out: Rows
    """Of left-out classes, in the fold."""
    left_out_seen: Rows
    """Of left-out classes, outside the fold: in the styles that were trained on."""


def why_not(shots: FewShot) -> str | None:
    """Return why known images cannot stand in for unknown ones here; None if they can."""
    counts_K = np.bincount(shots.labels_N, minlength=len(shots.text.features_KD))
    if len(counts_K) < LEAST_CLASSES:
        return (
            f"there are {len(counts_K)} classes, and with fewer than {LEAST_CLASSES} none can be "
            "left out to play the unknown while a task remains"
        )
    if counts_K.min() < 2:
        return "a class has one training image, and none can be held out of it"
    return None


def rounds(shots: FewShot) -> list[Round]:
    """Leave out each fold and each group of classes together, in turn.

    A fold is a style (domain) where every class has images of two or more, else a quarter of each
    class's images.
    """
    classes = len(shots.text.features_KD)
    rng = np.random.default_rng(shots.seed)
    groups = np.array_split(rng.permutation(classes), _GROUPS)
    fold_N = _folds(shots, rng)
    return [
        _round(shots.labels_N, fold_N == fold, group, classes)
        for fold in range(int(fold_N.max()) + 1)
        for group in groups
    ]


def by_style(shots: FewShot) -> bool:
    """Tell whether folds are styles."""
    if shots.domains_N is None:
        return False
    pairs = set(zip(shots.labels_N.tolist(), _style_folds(shots.domains_N).tolist(), strict=True))
    return bool(np.bincount([label for label, _ in pairs]).min() > 1)


def _folds(shots: FewShot, rng: np.random.Generator) -> Rows:
    """Return each image's fold, (N,)."""
    if shots.domains_N is not None and by_style(shots):
        return _style_folds(shots.domains_N)
    folds = min(_FOLDS, int(np.bincount(shots.labels_N).min()))
    fold_N = np.zeros(len(shots.labels_N), dtype=np.int64)
    for label in np.unique(shots.labels_N):
        rows = rng.permutation(np.flatnonzero(shots.labels_N == label))
        fold_N[rows] = np.arange(len(rows)) % folds
    return fold_N


def _style_folds(domains_N: Labels) -> Rows:
    return np.asarray(np.unique(domains_N, return_inverse=True)[1] % _FOLDS, dtype=np.int64)


def _round(labels_N: Labels, held_N: NDArray[np.bool_], group: Rows, classes: int) -> Round:
    out_N = np.isin(labels_N, group)
    parts: Sequence[NDArray[np.bool_]] = (
        ~held_N & ~out_N,
        held_N & ~out_N,
        held_N & out_N,
        ~held_N & out_N,
    )
    return Round(
        np.setdiff1d(np.arange(classes), group), *(np.flatnonzero(part_N) for part_N in parts)
    )
