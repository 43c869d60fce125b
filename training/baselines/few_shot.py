"""What every method may look at, what it returns, and one way of training.

Axes: N images, V views, B batch, K classes, D embedding.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from models.errors import ConfigError
from training.tune import Floats, Labels, TextSource, batches


class Classifier(Protocol):
    """What a method comes to."""

    def logits(self, embedding_BD: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Return logits (B, K) of raw embeddings (B, D)."""
        ...


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """What a method may look at: the same for all."""

    train_NVD: Floats
    """Raw embeddings of V views of each training image, the plain one first: (N, V, D)."""
    labels_N: Labels
    """Class indices, (N,)."""
    text: TextSource
    """The classes; its features are those of all templates."""
    single: Floats | None = None
    """Features of a single template, (K, D); None where there is no other than the text's."""
    select: tuple[Floats, Labels] | None = None
    """Embeddings (N', D) and labels (N',) of images to choose epoch, alpha, beta and C by. None:
    last epoch, the papers' defaults, and cross-validation over the training images."""
    domains_N: Labels | None = None
    """Each training image's style or source, as an index, (N,); None where there are none."""
    texture_ND: Floats | None = None
    """Raw embeddings of each training image without its object, (N, D):
    `training.selection.surrogates.TextureView`. None where there are no pixels."""
    units_N: Labels | None = None
    """Which images must stay together, groups and identical files, as an index, (N,); None where
    each is alone."""
    seed: int = 0
    """Of everything random."""
    epochs: int = 30
    """Passes over the images, for every method that trains by steps."""

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together, and labels without a class."""
        classes, dim = self.text.features_KD.shape
        if self.train_NVD.ndim != 3 or self.train_NVD.shape[2] != dim or 0 in self.train_NVD.shape:
            raise ConfigError(
                f"Training embeddings must be (N, V, {dim}), got {self.train_NVD.shape}: image "
                "and text encoder must belong together."
            )
        _check_labels(self.labels_N, len(self.train_NVD), classes)
        if self.select is not None:
            _check_labels(self.select[1], len(self.select[0]), classes)
        if self.single is not None and self.single.shape != (classes, dim):
            raise ConfigError(f"`single` must be ({classes}, {dim}), got {self.single.shape}.")
        for name in ("domains_N", "texture_ND", "units_N"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.train_NVD):
                raise ConfigError(
                    f"`{name}` must have {len(self.train_NVD)} rows, got {len(rows)}."
                )
        if self.epochs < 1:
            raise ConfigError(f"`epochs` must be > 0, got {self.epochs}.")


def _check_labels(labels_N: Labels, count: int, classes: int) -> None:
    if labels_N.shape != (count,) or np.any((labels_N < 0) | (labels_N >= classes)):
        raise ConfigError(f"Labels must be {count} of 0..{classes - 1}, got {labels_N.shape}.")


def unit(rows_ND: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return rows of length 1, (N, D); a zero row stays zero."""
    wide_ND = rows_ND.astype(np.float64)
    lengths_N1 = np.linalg.norm(wide_ND, axis=1, keepdims=True)
    return np.asarray(wide_ND / np.maximum(lengths_N1, 1e-12), dtype=np.float64)


def accuracy(logits_NK: NDArray[np.float64], labels_N: Labels) -> float:
    """Return the share of rows whose largest logit is the label's."""
    return float(np.mean(logits_NK.argmax(axis=1) == labels_N))


def steps(shots: FewShot, batch_size: int) -> int:
    """Return the number of batches in an epoch."""
    return math.ceil(len(shots.labels_N) / batch_size)


def descend(
    shots: FewShot,
    logits: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    batch_size: int,
) -> None:
    """Lower the cross-entropy, and leave the optimiser's parameters as its best epoch had them.

    The untuned parameters compete; of equally accurate epochs the latest wins, and without images
    to select by the last: the rule of `training.tune.tune`. Some of the authors' own code takes
    the epoch that does best on the *test* images instead.

    Args:
        shots: what to train on.
        logits: of unit embeddings, (B, D) -> (B, K).
        optimizer: knows what is trained.
        schedule: takes a step after each batch.
        batch_size: images a step.
    """
    rng = np.random.default_rng(shots.seed)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    best, kept = _judge(shots, logits), [p.detach().clone() for p in parameters]
    for _ in range(shots.epochs):
        for x_BD, labels_B in batches(shots.train_NVD, shots.labels_N, size=batch_size, rng=rng):
            optimizer.zero_grad()
            loss = cross_entropy(logits(normalize(x_BD, dim=1)), labels_B)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        judged = _judge(shots, logits)
        if judged >= best:
            best, kept = judged, [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)


@torch.no_grad()
def _judge(shots: FewShot, logits: Callable[[Tensor], Tensor]) -> float:
    if shots.select is None or len(shots.select[1]) == 0:
        return 0.0
    x_ND = normalize(torch.from_numpy(shots.select[0]), dim=1)
    return accuracy(logits(x_ND).double().numpy(), shots.select[1])
