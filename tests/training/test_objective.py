"""The losses mean what their formulas say, and lambda_2 depends on no size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.nn.adapter import Adapter, Generator
from models.nn.prompts import Prompts
from models.scores import energy as served_energy
from tests.backbones import tiny_backbone
from training import objective

# Axes: N images, K classes, D embedding.

SCALE = 20.0


def unit(*shape: int, seed: int) -> Tensor:
    """Return random unit rows in double precision, around a common direction as CLIP's are."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return normalize(rows + 0.5, dim=1)


def bent(dim: int, *, seed: int = 3) -> Adapter:
    """Return adapters in double precision, away from the identity and not symmetric."""
    adapter = Adapter(dim, ratio_image=0.2, ratio_text=0.5).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in adapter.parameters():
            weight.add_(torch.randn(dim, dim, generator=generator, dtype=torch.float64) / dim)
    return adapter


def repeated_in_d(adapter: Adapter) -> Adapter:
    """Return adapters that act on [x, x] / sqrt(2) as the given ones act on x."""
    dim = len(adapter.image_DD)
    wide = Adapter(2 * dim, ratio_image=0.2, ratio_text=0.5).double()
    with torch.no_grad():
        wide.image_DD.copy_(adapter.image_DD.repeat(2, 2) / 2)
        wide.text_DD.copy_(adapter.text_DD.repeat(2, 2) / 2)
    return wide


def by_autograd(adapter: Adapter, x_ND: Tensor, t_KD: Tensor) -> Tensor:
    """Return the penalty by differentiating the mean energy."""
    cosines_NK = objective.cosines(adapter.image(x_ND), adapter.text(t_KD))
    mean_energy = objective.energy(cosines_NK, SCALE).mean()
    gradients = torch.autograd.grad(mean_energy, list(adapter.parameters()), create_graph=True)
    return torch.stack([gradient.square().sum() for gradient in gradients]).sum()


def doubled(x_ND: Tensor) -> Tensor:
    """Repeat every coordinate, keeping the length."""
    return torch.cat([x_ND, x_ND], dim=1) / 2**0.5


@pytest.mark.parametrize(
    ("images", "classes", "dim"), [(5, 3, 8), (12, 9, 6), (1, 1, 4), (9, 2, 4)]
)
def test_the_closed_form_is_the_gradient_of_the_mean_energy(
    images: int, classes: int, dim: int
) -> None:
    """The penalty, and its own gradient, equal automatic differentiation's."""
    x_ND, t_KD, adapter = unit(images, dim, seed=1), unit(classes, dim, seed=2), bent(dim)
    closed = objective.energy_gradient(adapter, x_ND, t_KD, SCALE)
    expected = by_autograd(adapter, x_ND, t_KD)
    torch.testing.assert_close(closed, expected, rtol=1e-12, atol=0)
    for mine, theirs in zip(
        torch.autograd.grad(closed, list(adapter.parameters())),
        torch.autograd.grad(expected, list(adapter.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-14)


def test_the_closed_form_has_a_slope_towards_the_text() -> None:
    """Prompts that are tuned together with adapters feel the adapters' penalty."""
    x_ND, t_KD, adapter = unit(5, 8, seed=1), unit(3, 8, seed=2).requires_grad_(), bent(8)
    (mine_KD,) = torch.autograd.grad(objective.energy_gradient(adapter, x_ND, t_KD, SCALE), t_KD)
    (theirs_KD,) = torch.autograd.grad(by_autograd(adapter, x_ND, t_KD), t_KD)
    torch.testing.assert_close(mine_KD, theirs_KD, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("what", ["images", "classes", "coordinates"])
def test_repetition_leaves_the_penalty_as_it_is(what: str) -> None:
    """Twice the batch, the classes or D by repetition: the same lambda_2 means the same."""
    x_ND, t_KD, adapter = unit(7, 6, seed=1), unit(4, 6, seed=2), bent(6)
    before = objective.energy_gradient(adapter, x_ND, t_KD, SCALE)
    if what == "images":
        x_ND = torch.cat([x_ND, x_ND])
    elif what == "classes":
        t_KD = torch.cat([t_KD, t_KD])
    else:
        x_ND, t_KD, adapter = doubled(x_ND), doubled(t_KD), repeated_in_d(adapter)
    after = objective.energy_gradient(adapter, x_ND, t_KD, SCALE)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=0)


def test_repetition_leaves_the_balance_with_cross_entropy_as_it_is() -> None:
    """In twice the coordinates both losses push the adapters in the same proportion."""
    x_ND, t_KD, adapter = unit(7, 6, seed=1), unit(4, 6, seed=2), bent(6)
    labels_N = torch.arange(7) % 4

    def pushes(adapter: Adapter, x_ND: Tensor, t_KD: Tensor) -> list[float]:
        cosines_NK = objective.cosines(adapter.image(x_ND), adapter.text(t_KD))
        losses = (
            objective.cross_entropy(cosines_NK, labels_N, SCALE),
            objective.energy_gradient(adapter, x_ND, t_KD, SCALE),
        )
        slopes = [torch.autograd.grad(loss, adapter.image_DD, retain_graph=True) for loss in losses]
        return [float(slope.norm()) for (slope,) in slopes]

    before = pushes(adapter, x_ND, t_KD)
    after = pushes(repeated_in_d(adapter), doubled(x_ND), doubled(t_KD))
    assert after == pytest.approx(before, rel=1e-9)


def test_lengths_of_features_do_not_matter() -> None:
    """Raw embeddings of any length give the penalty of unit ones."""
    x_ND, t_KD, adapter = unit(7, 6, seed=1), unit(4, 6, seed=2), bent(6)
    before = objective.energy_gradient(adapter, x_ND, t_KD, SCALE)
    after = objective.energy_gradient(adapter, 30 * x_ND, 7 * t_KD, SCALE)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=0)


def test_a_flat_energy_costs_nothing() -> None:
    """At the largest possible cosine the energy has no slope: the penalty is zero."""
    x_ND, adapter = unit(1, 6, seed=1).repeat(5, 1), Adapter(6, ratio_image=0.2, ratio_text=0.5)
    flat = objective.energy_gradient(adapter.double(), x_ND, x_ND[:2], SCALE)
    sloped = objective.energy_gradient(adapter, x_ND, unit(2, 6, seed=2), SCALE)
    assert float(flat.detach()) == pytest.approx(0, abs=1e-25)
    assert float(sloped.detach()) > 1e-4


def test_the_energy_is_the_served_one_in_units_of_cosines() -> None:
    """Times the logit scale it equals the score that decides, sign included."""
    cosines_NK = unit(6, 4, seed=1)
    expected_N = served_energy((SCALE * cosines_NK).numpy()) / SCALE
    np.testing.assert_allclose(objective.energy(cosines_NK, SCALE).numpy(), expected_N, rtol=1e-12)


def test_class_distance_is_the_mean_over_pairs_of_equal_class() -> None:
    """It equals the double loop over the pairs, for classes of different size."""
    shifted_ND, u_ND = unit(6, 5, seed=1), 3 * unit(6, 5, seed=2)
    labels_N = torch.tensor([0, 2, 2, 0, 2, 3])
    cosines_NN = objective.cosines(shifted_ND, u_ND)
    pairs = [(n, m) for n in range(6) for m in range(6) if labels_N[n] == labels_N[m]]
    expected = 1 - sum(float(cosines_NN[n, m]) for n, m in pairs) / len(pairs)
    distance = objective.class_distance(shifted_ND, u_ND, labels_N)
    assert float(distance) == pytest.approx(expected, rel=1e-12)


def test_class_distance_does_not_depend_on_the_batch_size() -> None:
    """A batch that is repeated has the same distance."""
    shifted_ND, u_ND, labels_N = unit(6, 5, seed=1), unit(6, 5, seed=2), torch.arange(6) % 3
    once = objective.class_distance(shifted_ND, u_ND, labels_N)
    twice = objective.class_distance(shifted_ND.repeat(2, 1), u_ND.repeat(2, 1), labels_N.repeat(2))
    torch.testing.assert_close(twice, once)


def test_generator_and_adapter_want_opposite_distances() -> None:
    """Both keep the class; the generator raises the distance that the adapter lowers."""
    x_ND, t_KD, labels_N = unit(12, 6, seed=1), unit(3, 6, seed=2), torch.arange(12) % 3
    seeded = torch.Generator().manual_seed(0)
    generator = Generator(6, radius=0.5, generator=seeded).double()
    adapter = Adapter(6, ratio_image=0.5, ratio_text=0.5).double()

    def losses() -> tuple[Tensor, Tensor]:
        shifted_ND, u_ND = adapter.image(generator(x_ND)), adapter.image(x_ND)
        known = (shifted_ND, u_ND, adapter.text(t_KD), labels_N, 1.0)
        return objective.generator_loss(*known), objective.shift_loss(*known)

    def distance() -> float:
        shifted_ND, u_ND = adapter.image(generator(x_ND)), adapter.image(x_ND)
        return float(objective.class_distance(shifted_ND, u_ND, labels_N).detach())

    def descend(module: torch.nn.Module, which: int) -> float:
        for _ in range(20):
            slopes = torch.autograd.grad(
                losses()[which], list(module.parameters()), allow_unused=True
            )
            with torch.no_grad():
                for weight, slope in zip(module.parameters(), slopes, strict=True):
                    if slope is not None:
                        weight.sub_(0.5 * slope)
        return distance()

    start = distance()
    raised = descend(generator, 0)
    lowered = descend(adapter, 1)
    assert raised > start + 1e-3
    assert lowered < raised - 1e-3


@pytest.mark.parametrize("class_specific", [False, True])
def test_the_context_penalty_does_not_depend_on_the_number_of_classes(
    class_specific: bool, tmp_path: Path
) -> None:
    """Every class twice, each with its own context or with the shared one: the same penalty."""
    tower = tiny_backbone(tmp_path).text_tower()
    x_ND = unit(5, 16, seed=1).float()

    def penalty(names: list[str]) -> float:
        prompts = Prompts(tower, names, words="a photo", class_specific=class_specific)
        energies_N = objective.energy(objective.cosines(x_ND, prompts()), SCALE)
        return float(objective.context_gradient(energies_N.mean(), prompts.context).detach())

    once, twice = penalty(["cup", "tree"]), penalty(["cup", "tree"] * 2)
    assert once > 0
    assert twice == pytest.approx(once, rel=1e-4)


def test_the_context_penalty_can_be_lowered(tmp_path: Path) -> None:
    """A step against its gradient, through the text encoder, makes the energy flatter."""
    prompts = Prompts(tiny_backbone(tmp_path).text_tower(), ["cup", "tree"], words="a photo")
    x_ND = unit(5, 16, seed=1).float()

    def penalty() -> Tensor:
        energies_N = objective.energy(objective.cosines(x_ND, prompts()), SCALE)
        return objective.context_gradient(energies_N.mean(), prompts.context)

    before = penalty()
    (slope,) = torch.autograd.grad(before, prompts.context)
    with torch.no_grad():
        prompts.context.sub_(1e-2 * slope / slope.norm())
    assert float(penalty().detach()) < float(before.detach())


def test_decay_pulls_towards_the_start() -> None:
    """Its gradient is the way back to the untuned model, not to zero."""
    weight_DD = (torch.eye(3) + 0.5).requires_grad_()
    (pull_DD,) = torch.autograd.grad(objective.decay(weight_DD, torch.eye(3)), weight_DD)
    assert torch.equal(pull_DD, torch.full((3, 3), 0.5))
