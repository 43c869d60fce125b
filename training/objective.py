"""The losses of the ``croft`` objective, as functions of tensors. docs/method.md derives them.

Axes: N images, K classes, D embedding.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from models.nn.adapter import Adapter


def cosines(u_ND: Tensor, v_KD: Tensor) -> Tensor:
    """Return cosines (N, K) of every image feature with every text feature."""
    return normalize(u_ND, dim=1) @ normalize(v_KD, dim=1).T


def cross_entropy(cosines_NK: Tensor, labels_N: Tensor, logit_scale: float) -> Tensor:
    """Return the mean cross-entropy of the scaled cosines."""
    return nn.functional.cross_entropy(logit_scale * cosines_NK, labels_N)


def class_distance(shifted_ND: Tensor, u_ND: Tensor, labels_N: Tensor) -> Tensor:
    """Return one minus the mean cosine of shifted and in-distribution features of equal class.

    The mean is over all pairs (n, m) with y_n = y_m, so it depends on neither the batch size nor
    the number of classes: in [0, 2].
    """
    members_KN = one_hot(labels_N).T.to(u_ND.dtype)
    sums_KD = members_KN @ normalize(u_ND, dim=1)
    shifted_sums_KD = members_KN @ normalize(shifted_ND, dim=1)
    pairs = members_KN.sum(dim=1).square().sum()
    return 1 - (sums_KD * shifted_sums_KD).sum() / pairs


def shift_loss(
    shifted_ND: Tensor, u_ND: Tensor, v_KD: Tensor, labels_N: Tensor, logit_scale: float
) -> Tensor:
    """Return what the adapter lowers: cross-entropy of the shifted features, and their distance."""
    keeps_class = cross_entropy(cosines(shifted_ND, v_KD), labels_N, logit_scale)
    return keeps_class + class_distance(shifted_ND, u_ND, labels_N)


def generator_loss(
    shifted_ND: Tensor, u_ND: Tensor, v_KD: Tensor, labels_N: Tensor, logit_scale: float
) -> Tensor:
    """Return what the generator lowers: the same cross-entropy, *minus* the distance."""
    keeps_class = cross_entropy(cosines(shifted_ND, v_KD), labels_N, logit_scale)
    return keeps_class - class_distance(shifted_ND, u_ND, labels_N)


def energy(cosines_NK: Tensor, logit_scale: float) -> Tensor:
    """Return the energy in units of cosines, (N,): ``-logsumexp_k(s cos_nk) / s``.

    That is the energy that decides at serving time, at temperature 1, divided by the logit scale
    s; it lies between minus the largest cosine and ``log(K) / s`` below that.
    """
    return -torch.logsumexp(logit_scale * cosines_NK, dim=1) / logit_scale


def energy_gradient(adapter: Adapter, x_ND: Tensor, t_KD: Tensor, logit_scale: float) -> Tensor:
    """Return ``|dE/dW_I|^2 + |dE/dW_T|^2`` for the mean energy E of images x, in closed form.

    The gradient of a mean of bounded functions of unit vectors: repeating the images, the
    classes, or the coordinates of all features leaves it as it is. One backward pass through it
    is enough to train on it.
    """
    u_ND, v_KD = adapter.image(x_ND), adapter.text(t_KD)
    u_length_N1, v_length_K1 = u_ND.norm(dim=1, keepdim=True), v_KD.norm(dim=1, keepdim=True)
    u_ND, v_KD = u_ND / u_length_N1, v_KD / v_length_K1
    cosines_NK = u_ND @ v_KD.T
    # dE/dcos; every row sums to -1/N.
    slope_NK = -torch.softmax(logit_scale * cosines_NK, dim=1) / len(x_ND)
    weighted_NK = slope_NK * cosines_NK
    by_u_ND = (slope_NK @ v_KD - weighted_NK.sum(dim=1)[:, None] * u_ND) / u_length_N1
    by_v_KD = (slope_NK.T @ u_ND - weighted_NK.sum(dim=0)[:, None] * v_KD) / v_length_K1
    image = adapter.ratio_image**2 * _squared_norm(by_u_ND, x_ND)
    return image + adapter.ratio_text**2 * _squared_norm(by_v_KD, t_KD)


def context_gradient(mean_energy: Tensor, context: Tensor) -> Tensor:
    """Return ``|dE/dcontext|^2`` for the mean energy E, differentiable.

    Class-specific contexts (K, L, W) each move the energies of one class alone, by 1/K of what a
    shared context does: the factor K makes the two comparable, and K irrelevant.
    """
    (gradient,) = torch.autograd.grad(mean_energy, context, create_graph=True)
    contexts = len(context) if context.ndim == 3 else 1
    return contexts * gradient.square().sum()


def decay(parameter: Tensor, start: Tensor) -> Tensor:
    """Return half the squared distance from where tuning started: the untuned model."""
    return (parameter - start).square().sum() / 2


def _squared_norm(left_ND: Tensor, right_ND: Tensor) -> Tensor:
    """Return ``|left^T right|^2`` (Frobenius), by way of (N, N) or of (D, D), whichever is less.

    With the backward pass the first takes three products of N N D, the second two of N D D.
    """
    rows, dim = left_ND.shape
    if 3 * rows < 2 * dim:
        return ((left_ND @ left_ND.T) * (right_ND @ right_ND.T)).sum()
    return (left_ND.T @ right_ND).square().sum()
