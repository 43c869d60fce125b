"""Scores that are fitted on training images. Every one is higher for more unusual.

They look at the raw embedding, which the tuning does not move, or at names that are no class.

Axes: B batch, K classes, C classes seen in training, D embedding, N training images, M negatives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from models.logit_scores import logsumexp
from models.outputs import Floats, Outputs, Reference, Score, Tensors, each_row

LARGEST_BANK: Final = 20_000
"""Most training images that ``knn`` keeps, evenly taken from the classes."""

_FLOOR: Final = 1e-6  # of the mean variance: keeps a covariance invertible whatever the data

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Knn:
    """Distance to the k-th nearest training image, both at unit length.

    Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022.
    """

    bank_ND: Floats32
    k: int = 1

    def __post_init__(self) -> None:
        """Refuse a neighbour that the bank does not have."""
        if not 1 <= self.k <= len(self.bank_ND):
            raise ConfigError(f"`k` must be 1 to {len(self.bank_ND)} (the bank), is {self.k}.")

    def __call__(self, outputs: Outputs) -> Floats:
        """Return distances, 0 to 2: shape (B,)."""
        return each_row(outputs, self._of_one)

    def tensors(self) -> Tensors:
        """Return the bank and k."""
        return {"bank": self.bank_ND, "k": np.array(self.k, dtype=np.int64)}

    def _of_one(self, one: Outputs) -> float:
        x_D = one.unit_BD[0]
        # Of unit rows the nearest is the one of the largest cosine, which costs a third of all
        # distances; the one distance that counts is then taken without cancellation.
        nearest_first = np.argsort(-np.einsum("nd,d->n", self.bank_ND, x_D), kind="stable")
        gap_D = self.bank_ND[nearest_first[self.k - 1]] - x_D
        return float(np.sqrt(np.einsum("d,d->", gap_D, gap_D)))


@dataclass(frozen=True, slots=True)
class Gaussians:
    """Normal distributions of one covariance, in the coordinates that make it the identity.

    ``precision = whitening @ whitening.T``; a whitened row is ``x @ whitening``.
    """

    whitening_DD: Floats32
    means_CD: Floats32
    """Already whitened."""

    def nearest(self, x_D: Floats) -> float:
        """Return the squared Mahalanobis distance to the nearest mean, divided by D.

        Divided, it is about 1 for known images whatever D: one self-test tolerance fits all.
        """
        z_D = np.einsum("d,de->e", x_D, self.whitening_DD)
        gaps_CD = self.means_CD - z_D
        return float(np.einsum("cd,cd->c", gaps_CD, gaps_CD).min()) / len(x_D)


@dataclass(frozen=True, slots=True)
class Mahalanobis:
    """Squared distance to the nearest class mean under the shared covariance, divided by D.

    Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks, NeurIPS 2018.
    """

    classes: Gaussians

    def __call__(self, outputs: Outputs) -> Floats:
        """Return distances: shape (B,)."""
        return each_row(outputs, lambda one: self.classes.nearest(one.unit_BD[0]))

    def tensors(self) -> Tensors:
        """Return whitening and whitened means."""
        return {"whitening": self.classes.whitening_DD, "means": self.classes.means_CD}


@dataclass(frozen=True, slots=True)
class RelativeMahalanobis:
    """The Mahalanobis distance minus that to one Gaussian of all training images, both over D.

    Ren et al., A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection, 2021.
    """

    classes: Gaussians
    everything: Gaussians

    def __call__(self, outputs: Outputs) -> Floats:
        """Return differences of distances: shape (B,)."""
        return each_row(outputs, lambda one: self._of_one(one.unit_BD[0]))

    def tensors(self) -> Tensors:
        """Return whitening and whitened means, of the classes and of everything."""
        return {
            "whitening": self.classes.whitening_DD,
            "means": self.classes.means_CD,
            "global_whitening": self.everything.whitening_DD,
            "global_mean": self.everything.means_CD[0],
        }

    def _of_one(self, x_D: Floats) -> float:
        return self.classes.nearest(x_D) - self.everything.nearest(x_D)


@dataclass(frozen=True, slots=True)
class NegLabel:
    """Log odds of the negative names: ``logsumexp(negatives) - logsumexp(classes)``.

    The order of ``1 - sum_classes / (sum_classes + sum_negatives)`` without its ties at 0 and 1.
    Jiang et al., Negative Label Guided OOD Detection with Pretrained Vision-Language Models,
    ICLR 2024, with the head's own scale for their temperature and one group of negatives.
    """

    negatives_MD: Floats32

    def __call__(self, outputs: Outputs) -> Floats:
        """Return log odds: shape (B,)."""
        return each_row(outputs, self._of_one)

    def tensors(self) -> Tensors:
        """Return the negative names' features."""
        return {"negatives": self.negatives_MD}

    def _of_one(self, one: Outputs) -> float:
        cosines_M = np.einsum("md,d->m", self.negatives_MD, one.adapted_BD[0])
        negative = logsumexp(one.logit_scale * cosines_M[None])[0]
        return float(negative - logsumexp(one.logits_BK)[0])


@dataclass(frozen=True, slots=True)
class Fused:
    """Mean of standardised scores: ``mean_i (s_i - mu_i) / sigma_i``."""

    components: Mapping[str, Score]
    mu_S: Floats
    sigma_S: Floats

    def __call__(self, outputs: Outputs) -> Floats:
        """Return means of standardised scores: shape (B,)."""
        parts = [score(outputs) for score in self.components.values()]
        return fuse(parts, self.mu_S, self.sigma_S)

    def tensors(self) -> Tensors:
        """Return mean and deviation of every component, and the components' own tensors."""
        parts = {
            f"{name}.{tensor}": value
            for name, score in self.components.items()
            for tensor, value in score.tensors().items()
        }
        return {"mu": self.mu_S, "sigma": self.sigma_S} | parts


def fit_knn(reference: Reference) -> Knn:
    """Keep the training images, evenly chosen by class if there are very many."""
    by_class_N = np.argsort(reference.labels_N, kind="stable")
    count = min(len(by_class_N), LARGEST_BANK)
    kept = by_class_N[np.linspace(0, len(by_class_N) - 1, count).astype(np.int64)]
    return Knn(reference.outputs.unit_BD[kept].astype(np.float32))


def fit_mahalanobis(reference: Reference) -> Mahalanobis:
    """Fit class means and their shared covariance."""
    return Mahalanobis(_class_gaussians(reference.outputs.unit_BD, reference.labels_N))


def fit_relative_mahalanobis(reference: Reference) -> RelativeMahalanobis:
    """Fit class means and their shared covariance, and mean and covariance of everything."""
    x_ND = reference.outputs.unit_BD
    everything = _class_gaussians(x_ND, np.zeros(len(x_ND), dtype=np.int64))
    return RelativeMahalanobis(_class_gaussians(x_ND, reference.labels_N), everything)


def fit_neglabel(reference: Reference) -> NegLabel:
    """Keep the negative names' features.

    Raises:
        ConfigError: the reference has none.
    """
    if reference.negatives_MD is None or len(reference.negatives_MD) == 0:
        raise ConfigError(
            "The score `neglabel` needs text features of negative names, and none were given. "
            "Give some, or choose another score."
        )
    return NegLabel(reference.negatives_MD.astype(np.float32))


def fit_fused(components: Mapping[str, Score], held_out_scores: Mapping[str, Floats]) -> Fused:
    """Standardise scores by their mean and deviation on known images.

    Args:
        components: the scores to fuse.
        held_out_scores: each one's values on images that none of them was fitted on, (n,): on
            training images scores are too low, some more than others.
    """
    return Fused(components, *spread([held_out_scores[name] for name in components]))


def fuse(parts: Sequence[Floats], mu_S: Floats, sigma_S: Floats) -> Floats:
    """Return the mean of S standardised scores of B images, shape (B,)."""
    standard_SB = (np.stack(parts) - mu_S[:, None]) / sigma_S[:, None]
    # Added up one by one: numpy's sums may depend on the shape.
    return np.asarray(sum(standard_SB) / len(standard_SB), dtype=np.float64)


def spread(parts: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return mean and deviation of S scores, each (S,); 1 where a score does not vary."""
    mu_S = np.array([np.mean(values) for values in parts], dtype=np.float64)
    sigma_S = np.array([np.std(values) for values in parts], dtype=np.float64)
    return mu_S, np.where(sigma_S > 0, sigma_S, 1.0)


def shrunk_covariance(residuals_ND: Floats) -> Floats:
    """Return Ledoit and Wolf's estimate of the covariance of centred rows, shape (D, D).

    ``(1 - s) S + s mean(diag S) I`` with their s, which needs no tuning and keeps the estimate
    well conditioned with fewer images than dimensions: A Well-Conditioned Estimator for
    Large-Dimensional Covariance Matrices, 2004. A floor of 1e-6 of the mean variance is added
    (1e-6 if there is no variance at all).
    """
    n, dim = residuals_ND.shape
    sample_DD = residuals_ND.T @ residuals_ND / n
    variance = float(np.trace(sample_DD)) / dim
    squares = float(np.sum(sample_DD**2))
    fourth = float(np.sum(np.sum(residuals_ND**2, axis=1) ** 2)) / n
    spread = squares - dim * variance**2
    noise = min((fourth - squares) / n, spread)
    shrinkage = noise / spread if spread > 0 else 1.0
    floor = _FLOOR * (variance or 1.0)
    shrunk_DD: Floats = (1 - shrinkage) * sample_DD + (shrinkage * variance + floor) * np.eye(dim)
    return shrunk_DD


def _class_gaussians(x_ND: Floats, labels_N: NDArray[np.int64]) -> Gaussians:
    seen_C, position_N = np.unique(labels_N, return_inverse=True)
    means_CD = np.stack([x_ND[labels_N == label].mean(axis=0) for label in seen_C])
    precision_DD = np.linalg.inv(shrunk_covariance(x_ND - means_CD[position_N]))
    whitening_DD = np.linalg.cholesky(precision_DD).astype(np.float32, order="C")
    # Whitened as images will be, float32 rounding included.
    whitened_CD = np.einsum("cd,de->ce", means_CD, whitening_DD)
    return Gaussians(whitening_DD, whitened_CD.astype(np.float32))


def restore_knn(tensors: Mapping[str, NDArray[Any]]) -> Knn:
    """Return the fitted score of these tensors."""
    return Knn(tensors["bank"], int(tensors["k"]))


def restore_mahalanobis(tensors: Mapping[str, NDArray[Any]]) -> Mahalanobis:
    """Return the fitted score of these tensors."""
    return Mahalanobis(Gaussians(tensors["whitening"], tensors["means"]))


def restore_relative_mahalanobis(tensors: Mapping[str, NDArray[Any]]) -> RelativeMahalanobis:
    """Return the fitted score of these tensors."""
    everything = Gaussians(tensors["global_whitening"], tensors["global_mean"][None])
    return RelativeMahalanobis(Gaussians(tensors["whitening"], tensors["means"]), everything)


def restore_neglabel(tensors: Mapping[str, NDArray[Any]]) -> NegLabel:
    """Return the fitted score of these tensors."""
    return NegLabel(tensors["negatives"])
