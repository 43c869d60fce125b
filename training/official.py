"""The losses of the objective ``official``: what the authors' published code computes.

Term by term as in github.com/LinLLLL/CRoFT (CoOp/trainers/CRoFT.py), in tensors of any dtype. It
departs from the paper's formulas in ways that docs/method.md numbers as oddities; here each is
named once, where it happens. The paper's own terms are in `training.objective`.

Axes: N images, K classes, D embedding, M = N or 2 N rows that the energy is flattened at.
"""

from typing import Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.errors import ConfigError
from models.nn.adapter import Adapter

Edr = Literal["setup1", "setup2"]

_EPSILON: Final = 1e-6
_DELTA: Final = 1e-4
"""Where the energy's gradient is taken: every entry of the perturbation, off zero."""


class Features(NamedTuple):
    """Unit features of one batch: adapted, and as the frozen encoder gives them."""

    u_ND: Tensor
    """Adapted images."""
    v_KD: Tensor
    """Adapted classes."""
    x_ND: Tensor
    """Images."""
    t_KD: Tensor
    """Classes."""


def normalise(rows_ND: Tensor) -> Tensor:
    """Return rows (N, D) divided by their length plus 1e-6: a little shorter than one."""
    length_N1: Tensor = rows_ND.norm(dim=-1, keepdim=True)
    return rows_ND / (length_N1 + _EPSILON)


def features(adapter: Adapter, x_ND: Tensor, t_KD: Tensor) -> Features:
    """Return the unit features of raw image embeddings (N, D) and raw class features (K, D)."""
    return Features(
        u_ND=normalise(adapter.image(x_ND)),
        v_KD=normalise(adapter.text(t_KD)),
        x_ND=normalise(x_ND),
        t_KD=normalise(t_KD),
    )


def logits(u_ND: Tensor, v_KD: Tensor, logit_scale: float) -> Tensor:
    """Return logits (N, K): the products of features as they are, times the scale."""
    return logit_scale * u_ND @ v_KD.T


def energy_score(logits_NK: Tensor) -> Tensor:
    """Return the score of detection, (N,): logsumexp of the logits, higher = more usual."""
    return torch.logsumexp(logits_NK, dim=1)


def shift(u_ND: Tensor, generator_DD: Tensor) -> Tensor:
    """Return "covariate-shifted" unit features c (N, D) of unit features: u P + u, unbounded."""
    return normalise(u_ND @ generator_DD + u_ND)


def alignment(shifted_ND: Tensor, images_ND: Tensor, labels_N: Tensor) -> Tensor:
    """Return the mean of c_n·x_m over *all* pairs, those of different class counting as zero."""
    same_NN = labels_N[:, None] == labels_N[None, :]
    return (same_NN * (shifted_ND @ images_ND.T)).mean()


def generator_loss(
    known: Features, shifted_ND: Tensor, labels_N: Tensor, *, logit_scale: float, lambda_1: float
) -> Tensor:
    """Return the loss of the generator's steps: keep the class, leave the images.

    Nothing is detached: it has slopes towards the adapters too (oddity 2).
    """
    keeps_class = cross_entropy(logits(shifted_ND, known.v_KD, logit_scale), labels_N)
    # Oddity 1: lambda_1 weighs the alignment alone, here with a plus sign. Oddity 3: the alignment
    # is with adapted images here, and with those of the frozen encoder in `shift_loss`.
    return keeps_class + lambda_1 * alignment(shifted_ND, known.u_ND, labels_N)


def shift_loss(
    adapter: Adapter,
    known: Features,
    shifted_ND: Tensor,
    labels_N: Tensor,
    *,
    logit_scale: float,
    lambda_1: float,
    uses_shifted: bool,
) -> Tensor:
    """Return the shifted features' part of the main loss.

    ``uses_shifted`` is False for VLCS and for ``gen_steps = 0`` (oddity 8): the shifted features
    then count by their class alone, and lambda_1 not at all.
    """
    if not uses_shifted:
        return cross_entropy(logits(shifted_ND, known.v_KD, logit_scale), labels_N)
    # Oddity 4: ratio reversed, W not transposed, length left as it is, and c has been through the
    # adapter before.
    twice_ND = torch.lerp(shifted_ND @ adapter.image_DD, shifted_ND, adapter.ratio_image)
    keeps_class = cross_entropy(logits(twice_ND, known.v_KD, logit_scale), labels_N)
    return keeps_class - lambda_1 * alignment(shifted_ND, known.x_ND, labels_N)


def flattened_at(known: Features, shifted_ND: Tensor, *, uses_shifted: bool) -> Tensor:
    """Return the rows (M, D) of `energy_gradient`: images, and shifted features if they count."""
    return torch.cat([known.x_ND, shifted_ND]) if uses_shifted else known.x_ND


def energy_gradient(adapter: Adapter, x_MD: Tensor, t_KD: Tensor, *, edr: Edr) -> Tensor:
    """Return the EDR penalty, by a gradient that can itself be differentiated.

    F (M, K) is the energy of `x_MD` with every class, at adapters W + delta; *one* delta (D, D) is
    added to both matrices, so their gradients add up before they are squared.

    - ``setup1``: the mean of the squares of d sum(F) / d delta;
    - ``setup2``: the sum of the squares of d mean(F) / d delta.

    Raises:
        ConfigError: ``edr`` is neither.
    """
    if edr not in get_args(Edr):
        raise ConfigError(f"`edr` must be one of {', '.join(get_args(Edr))}, got {edr!r}.")
    delta_DD = torch.full_like(adapter.image_DD, _DELTA).requires_grad_()
    # Oddity 5: X W here, x W^T in the forward pass.
    moved_MD = torch.lerp(x_MD, x_MD @ (adapter.image_DD + delta_DD), adapter.ratio_image)
    moved_KD = torch.lerp(t_KD, t_KD @ (adapter.text_DD + delta_DD), adapter.ratio_text)
    # Oddity 6: no logarithm, no minus, no logit scale.
    energies_MK = torch.exp(normalise(moved_MD) @ normalise(moved_KD).T)
    whole = energies_MK.sum() if edr == "setup1" else energies_MK.mean()
    (slope_DD,) = torch.autograd.grad(whole, delta_DD, create_graph=True)
    squares_DD = slope_DD.square()
    return squares_DD.mean() if edr == "setup1" else squares_DD.sum()
