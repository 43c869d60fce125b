"""Embedding -> logits: what is left of the tuned adapters, folded to two arrays.

Axes: B batch, K classes, D embedding.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from models.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Head:
    """Cosine classifier: ``logits = logit_scale * cos(x @ image_transform, prototypes)``.

    Any adapter of CRoFT (Zhu et al., ICML 2024) folds to this: ``image_transform = r W^T +
    (1 - r) I``, and the prototypes are the adapted, normalised text features.
    """

    image_transform_DD: NDArray[np.float32]
    """Applied from the right to a raw embedding: shape (D, D)."""
    prototypes_KD: NDArray[np.float32]
    """One unit row a class: shape (K, D)."""
    logit_scale: float
    """The inverse temperature of the cosine logits; about 100 for CLIP."""
    _plain: bool = field(init=False, repr=False, compare=False)
    """Whether the transform is the identity, as without an adapter: the work is left out."""

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together and numbers that are none."""
        side, dim = self.image_transform_DD.shape, self.prototypes_KD.shape[-1]
        if side != (dim, dim) or self.prototypes_KD.ndim != 2:
            raise ConfigError(
                "`image_transform` must be (D, D) and `prototypes` (K, D), got "
                f"{side} and {self.prototypes_KD.shape}."
            )
        for name in ("image_transform_DD", "prototypes_KD", "logit_scale"):
            if not np.all(np.isfinite(getattr(self, name))):
                raise ConfigError(f"`{name}` must be finite numbers, and has NaN or infinity.")
        norms_K = np.linalg.norm(self.prototypes_KD.astype(np.float64), axis=1)
        if len(norms_K) == 0 or np.any(np.abs(norms_K - 1) > 1e-4) or self.logit_scale <= 0:
            raise ConfigError(
                "`prototypes` must be one or more unit rows and `logit_scale` > 0; row norms are "
                f"{norms_K.min(initial=1):.4f} to {norms_K.max(initial=1):.4f}, logit_scale is "
                f"{self.logit_scale}."
            )
        plain = np.array_equal(self.image_transform_DD, np.eye(dim))
        object.__setattr__(self, "_plain", plain)

    def logits(self, embedding_BD: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return scaled cosines, shape (B, K), float64, for raw embeddings (B, D).

        Each row is computed alone and without BLAS, whose rounding depends on the batch and on
        the number of threads: an image gets the same bits in any company.
        """
        logits_BK = np.empty((len(embedding_BD), len(self.prototypes_KD)))
        for row, embedding_D in enumerate(embedding_BD):
            logits_BK[row] = self._logits_of_one(self._transformed(embedding_D))
        return logits_BK

    def outputs(self, embedding_BD: NDArray[np.float32]) -> Outputs:
        """Return all that a score may look at, for raw embeddings (B, D), in B rows.

        Its logits are those of ``logits``, bit for bit, and the other rows too do not depend on
        the batch.
        """
        dim = len(self.image_transform_DD)
        logits_BK = np.empty((len(embedding_BD), len(self.prototypes_KD)))
        unit_BD, adapted_BD = np.empty((2, len(embedding_BD), dim))
        for row, embedding_D in enumerate(embedding_BD):
            u_D = self._transformed(embedding_D)
            logits_BK[row] = self._logits_of_one(u_D)
            unit_BD[row] = _unit(embedding_D.astype(np.float64))
            adapted_BD[row] = _unit(u_D)
        return Outputs(logits_BK, unit_BD, adapted_BD, self.logit_scale)

    def _logits_of_one(self, u_D: NDArray[np.float64]) -> NDArray[np.float64]:
        # The zero vector has no direction: cosine 0 with every class, the most unusual answer.
        cosines_K = np.einsum("kd,d->k", self.prototypes_KD, u_D) / _norm(u_D)
        return np.asarray(self.logit_scale * cosines_K, dtype=np.float64)

    def _transformed(self, embedding_D: NDArray[np.float32]) -> NDArray[np.float64]:
        x_D = embedding_D.astype(np.float64)
        if self._plain:
            return x_D
        return np.asarray(np.einsum("d,de->e", x_D, self.image_transform_DD))


def _norm(x_D: NDArray[np.float64]) -> float:
    """Return the length, or a little more than nothing to divide a zero vector by."""
    return max(float(np.sqrt(np.einsum("d,d->", x_D, x_D))), 1e-12)


def _unit(x_D: NDArray[np.float64]) -> NDArray[np.float64]:
    return x_D / _norm(x_D)
