"""What a score looks at, what it is fitted on, and what it is.

Axes: B batch, K classes, D embedding, N training images, M negative names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Outputs:
    """One row an image, float64; ``models.head.Head.outputs`` makes them."""

    logits_BK: Floats
    """Scaled cosines of the head: shape (B, K)."""
    unit_BD: Floats
    """The raw embedding at unit length, independent of the tuning; zero stays zero: (B, D)."""
    adapted_BD: Floats
    """The embedding after the image transform, at unit length: shape (B, D)."""
    logit_scale: float
    """The inverse temperature that the logits carry."""

    def row(self, index: int) -> "Outputs":
        """Return one image's outputs, as a batch of one; its memory has no gaps.

        Numpy adds up strided memory in another order, and the last bits would tell.
        """
        one = slice(index, index + 1)
        logits_1K, unit_1D, adapted_1D = (
            np.ascontiguousarray(rows[one])
            for rows in (self.logits_BK, self.unit_BD, self.adapted_BD)
        )
        return Outputs(logits_1K, unit_1D, adapted_1D, self.logit_scale)


class Score(Protocol):
    """How unusual images look."""

    def __call__(self, outputs: Outputs) -> Floats:
        """Return one number an image, higher = more unusual: shape (B,).

        An image's number has the same bits in any company.
        """
        ...

    def tensors(self) -> Tensors:
        """Return what a bundle stores to restore it; nothing for a function of the logits."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """Known training images that a score is fitted on; never calibration images.

    A score that had seen a calibration image would find it too usual, and the threshold would
    promise what it cannot keep.
    """

    outputs: Outputs
    """Of N plain training images, not of augmented views."""
    labels_N: NDArray[np.int64]
    """Their classes' indices: shape (N,)."""
    negatives_MD: Floats | None = None
    """Unit text features of names that are no class, adapted as the prototypes are: (M, D)."""
    held_out: Outputs | None = None
    """Of known images that neither the head nor the reference saw, to standardise scores by."""


def each_row(outputs: Outputs, of_one: Callable[[Outputs], Any]) -> Floats:
    """Return ``of_one`` of each image alone, shape (B,): numpy's sums may depend on the batch."""
    count = len(outputs.logits_BK)
    return np.array([float(of_one(outputs.row(i))) for i in range(count)], dtype=np.float64)
