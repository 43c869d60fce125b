"""A small few-shot problem: clusters of embeddings, and text that only roughly fits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.backbones import tiny_backbone
from training.baselines.few_shot import Classifier, FewShot, accuracy
from training.tune import TextSource

# Axes: N images, V views, K classes, D embedding.

CLASSES, DIM = 4, 16

Set = tuple[NDArray[np.float32], NDArray[np.int64]]


def images(count: int, *, views: int = 3, seed: int = 0) -> Set:
    """Return raw embeddings (N, V, D) and labels."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(count) % CLASSES
    noise_NVD = 0.7 * rng.standard_normal((count, views, DIM))
    return (5 * (_centres_KD()[labels_N][:, None] + noise_NVD)).astype(np.float32), labels_N


def plain(count: int, *, seed: int) -> Set:
    """Return raw embeddings (N, D) of first views, and labels."""
    embeddings_NVD, labels_N = images(count, seed=seed)
    return embeddings_NVD[:, 0], labels_N


def text(error: float = 1.4) -> TextSource:
    """Return class features that are off by an error, on a scale that is not CLIP's."""
    noise_KD = np.random.default_rng(7).standard_normal((CLASSES, DIM))
    features_KD = (_centres_KD() + error * noise_KD).astype(np.float32)
    return TextSource(features_KD=features_KD, logit_scale=20.0, name="made up")


def few_shot(**changes: Any) -> FewShot:
    """Return eight images of each class, with changes."""
    train_NVD, labels_N = images(32)
    given: dict[str, Any] = {"train_NVD": train_NVD, "labels_N": labels_N, "text": text()}
    return FewShot(**(given | changes))


def backbone_text(folder: Path) -> TextSource:
    """Return four classes behind a tiny text encoder."""
    names = ["cup", "tree", "boat", "key"]
    prompts = [[f"a photo of a {name}."] for name in names]
    return TextSource.of(tiny_backbone(folder), names=names, prompts=prompts)


def fresh_accuracy(classifier: Classifier) -> float:
    """Return the accuracy on images that no method has seen."""
    embeddings_ND, labels_N = plain(400, seed=5)
    return accuracy(classifier.logits(embeddings_ND), labels_N)


def _centres_KD() -> NDArray[np.float64]:
    return np.random.default_rng(99).standard_normal((CLASSES, DIM))
