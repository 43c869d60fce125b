"""Scores that are functions of the logits. Every one is higher for more unusual.

Axes: B batch, K classes, M the most probable classes.
"""

import numpy as np

from models.outputs import Floats


def energy(logits_BK: Floats, *, temperature: float = 1.0) -> Floats:
    """Return the free energy ``-T * logsumexp(logits / T)``, shape (B,).

    Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020; CRoFT detects with it
    at T = 1 on CLIP's scaled cosines. The logits are the model's own: they carry its scale.
    """
    return -temperature * logsumexp(logits_BK / temperature)


def msp(logits_BK: Floats) -> Floats:
    """Return one minus the maximum softmax probability, shape (B,). Hendrycks & Gimpel 2017."""
    smallest_B: Floats = complements(softmax(logits_BK)).min(axis=1)
    return smallest_B


def max_logit(logits_BK: Floats) -> Floats:
    """Return minus the largest logit, shape (B,). Hendrycks et al. 2022."""
    largest_B: Floats = logits_BK.max(axis=1)
    return -largest_B


def mcm(logits_BK: Floats, *, logit_scale: float) -> Floats:
    """Return one minus the largest softmax of the cosines at temperature 1, shape (B,).

    Ming et al., Delving into Out-of-Distribution Detection with Vision-Language
    Representations, NeurIPS 2022.

    Args:
        logits_BK: scaled cosines.
        logit_scale: the scale that they carry.
    """
    return msp(logits_BK / logit_scale)


def entropy(logits_BK: Floats) -> Floats:
    """Return Shannon's entropy of the softmax in nats, shape (B,)."""
    logs_BK = logits_BK - logsumexp(logits_BK)[:, None]
    return np.asarray(-(np.exp(logs_BK) * logs_BK).sum(axis=1), dtype=np.float64)


def gen(logits_BK: Floats, *, gamma: float = 0.1, top_m: int = 100) -> Floats:
    """Return the generalised entropy ``sum_m p_m^gamma (1 - p_m)^gamma``, shape (B,).

    Over the ``min(top_m, K)`` most probable classes. Liu et al., GEN: Pushing the Limits of
    Softmax-Based Out-of-Distribution Detection, CVPR 2023.
    """
    probabilities_BK = softmax(logits_BK)
    products_BK = (probabilities_BK * complements(probabilities_BK)) ** gamma
    best_first_BM = np.argsort(-probabilities_BK, axis=1, kind="stable")[:, :top_m]
    return np.asarray(np.take_along_axis(products_BK, best_first_BM, axis=1).sum(axis=1))


def energy_change(logits_BK: Floats, *, top_c: int = 2) -> Floats:
    """Return minus the growth of the energy when the largest cosines are set to 0, shape (B,).

    ``logsumexp(cropped) - logsumexp(logits)`` with the ``top_c`` largest logits of a row cropped
    to 0: a familiar image's energy hangs on them and changes much. With ``top_c = 1`` its
    exponential is ``1 - p_max + exp(-logsumexp)``: nearly the order of ``msp``, which is why the
    default is 2. At least one class is left uncropped where there are two. After the Delta-Energy
    of Zhu et al., NeurIPS 2025 (arXiv 2510.11296), written from its abstract.
    """
    cropped = min(top_c, max(1, logits_BK.shape[1] - 1))
    largest_BC = np.argsort(-logits_BK, axis=1, kind="stable")[:, :cropped]
    cropped_BK = logits_BK.copy()
    np.put_along_axis(cropped_BK, largest_BC, 0.0, axis=1)
    return logsumexp(cropped_BK) - logsumexp(logits_BK)


def logsumexp(logits_BK: Floats) -> Floats:
    """Return ``log(sum(exp(row)))`` of each row, shape (B,), without overflow."""
    largest_B1 = logits_BK.max(axis=1, keepdims=True)
    sums_B = np.exp(logits_BK - largest_B1).sum(axis=1)
    return np.asarray(np.log(sums_B) + largest_B1[:, 0], dtype=np.float64)


def softmax(logits_BK: Floats) -> Floats:
    """Return class probabilities, shape (B, K); rows sum to one."""
    probabilities_BK: Floats = np.exp(logits_BK - logsumexp(logits_BK)[:, None])
    return probabilities_BK


def complements(probabilities_BK: Floats) -> Floats:
    """Return ``1 - p``, shape (B, K); where p is nearly 1, the sum of the others, which is exact.

    At CLIP's scale the best class often takes all but 1e-16, and ``1 - p`` is then noise or 0.
    """
    best_B1 = probabilities_BK.argmax(axis=1)[:, None]
    others_BK = probabilities_BK.copy()
    np.put_along_axis(others_BK, best_B1, 0.0, axis=1)
    complements_BK = 1.0 - probabilities_BK
    np.put_along_axis(complements_BK, best_B1, others_BK.sum(axis=1, keepdims=True), axis=1)
    return complements_BK
