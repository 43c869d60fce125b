"""How unusual a row of logits looks. Every score is higher for more unusual.

Axes: B batch, K classes.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def energy(logits_BK: Floats, *, temperature: float = 1.0) -> Floats:
    """Return the free energy ``-T * logsumexp(logits / T)``, shape (B,).

    Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020; CRoFT detects with it
    at T = 1 on CLIP's scaled cosines. The logits are the model's own: they carry its scale.
    """
    return -temperature * logsumexp(logits_BK / temperature)


def msp(logits_BK: Floats) -> Floats:
    """Return one minus the maximum softmax probability, shape (B,). Hendrycks & Gimpel 2017."""
    largest_B: Floats = softmax(logits_BK).max(axis=1)
    return 1.0 - largest_B


def max_logit(logits_BK: Floats) -> Floats:
    """Return minus the largest logit, shape (B,). Hendrycks et al. 2022."""
    largest_B: Floats = logits_BK.max(axis=1)
    return -largest_B


SCORES: Final[dict[str, Callable[[Floats], Floats]]] = {
    "energy": energy,
    "msp": msp,
    "max_logit": max_logit,
}
"""The scores a bundle can name, as functions of its logits."""


def logsumexp(logits_BK: Floats) -> Floats:
    """Return ``log(sum(exp(row)))`` of each row, shape (B,), without overflow."""
    largest_B1 = logits_BK.max(axis=1, keepdims=True)
    sums_B = np.exp(logits_BK - largest_B1).sum(axis=1)
    return np.asarray(np.log(sums_B) + largest_B1[:, 0], dtype=np.float64)


def softmax(logits_BK: Floats) -> Floats:
    """Return class probabilities, shape (B, K); rows sum to one."""
    probabilities_BK: Floats = np.exp(logits_BK - logsumexp(logits_BK)[:, None])
    return probabilities_BK
