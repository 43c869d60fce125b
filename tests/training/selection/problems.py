"""A small problem with styles: clusters of embeddings, moved a little by each style."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.baselines.few_shot import FewShot
from training.selection.rounds import Round
from training.tune import TextSource, TuneConfig

# Axes: N images, V views, K classes, S styles, D embedding.

CLASSES, STYLES, DIM = 6, 4, 12

QUICK = TuneConfig(epochs=1, batch_size=16, learning_rate=0.01)

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


def shots(*, per_class: int = 8, views: int = 2, seed: int = 0, **changes: Any) -> FewShot:
    """Return so many images of each class, one style after the other, with changes."""
    labels_N, domains_N = labels(per_class), styles(per_class)
    given: dict[str, Any] = {
        "train_NVD": embeddings(labels_N, domains_N, views=views, seed=seed),
        "labels_N": labels_N,
        "text": text(),
        "domains_N": domains_N,
        "seed": seed,
    }
    return FewShot(**(given | changes))


def labels(per_class: int) -> Labels:
    """Return a class for each image, (N,): 0, 1, ..., 5, 0, 1, ..."""
    return np.arange(CLASSES * per_class) % CLASSES


def styles(per_class: int, *, count: int = STYLES) -> Labels:
    """Return a style for each image, (N,), so that every class has images of all."""
    return np.arange(CLASSES * per_class) // CLASSES % count


def embeddings(labels_N: Labels, domains_N: Labels, *, views: int, seed: int) -> Floats:
    """Return raw embeddings (N, V, D)."""
    rng = np.random.default_rng([seed, 1])
    noise_NVD = 0.6 * rng.standard_normal((len(labels_N), views, DIM))
    styles_SD = 0.4 * np.random.default_rng(98).standard_normal((domains_N.max() + 1, DIM))
    moved_ND = centres()[labels_N] + styles_SD[domains_N]
    return (5 * (moved_ND[:, None] + noise_NVD)).astype(np.float32)


def text(error: float = 1.0) -> TextSource:
    """Return class features that are off by an error."""
    noise_KD = np.random.default_rng(7).standard_normal((CLASSES, DIM))
    features_KD = (centres() + error * noise_KD).astype(np.float32)
    return TextSource(features_KD=features_KD, logit_scale=20.0, name="made up")


def far(given: FewShot, *, seed: int = 0) -> Floats:
    """Return embeddings of an object-less version of each image that are nothing like it."""
    shape = (len(given.labels_N), DIM)
    return np.random.default_rng([seed, 2]).standard_normal(shape).astype(np.float32)


def parts(round_: Round) -> list[Labels]:
    """Return the rows of a round by their part."""
    return [round_.train, round_.known, round_.left_out]


def centres() -> NDArray[np.float64]:
    """Return what the images of a class have in common, (K, D)."""
    return np.random.default_rng(99).standard_normal((CLASSES, DIM))
