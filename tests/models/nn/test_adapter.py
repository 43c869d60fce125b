"""The adapters start at the identity and fold to the two arrays of a head."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.head import Head
from models.nn.adapter import Adapter, Generator

# Axes: N images, K classes, D embedding.


def random(*shape: int, seed: int = 0) -> Tensor:
    """Return standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def perturbed(dim: int = 6) -> Adapter:
    """Return an adapter away from the identity, and not symmetric."""
    adapter = Adapter(dim, ratio_image=0.2, ratio_text=0.5)
    with torch.no_grad():
        adapter.image_DD.add_(random(dim, dim, seed=1))
        adapter.text_DD.add_(random(dim, dim, seed=2))
    return adapter


def test_an_untuned_adapter_changes_nothing() -> None:
    """Both maps start as the identity."""
    adapter, x_ND = Adapter(6, ratio_image=0.2, ratio_text=0.5), random(4, 6)
    torch.testing.assert_close(adapter.image(x_ND), x_ND)
    torch.testing.assert_close(adapter.text(x_ND), x_ND)


def test_the_ratio_is_the_share_of_the_adapter() -> None:
    """u = r x W^T + (1 - r) x, with each side's own ratio and matrix."""
    adapter, x_ND = perturbed(), random(4, 6)
    torch.testing.assert_close(adapter.image(x_ND), 0.2 * x_ND @ adapter.image_DD.T + 0.8 * x_ND)
    torch.testing.assert_close(adapter.text(x_ND), 0.5 * x_ND @ adapter.text_DD.T + 0.5 * x_ND)


def test_the_folded_head_gives_the_adapters_cosines() -> None:
    """A head of the two arrays classifies raw embeddings as the adapters do."""
    adapter, x_ND, t_KD = perturbed(), random(4, 6), random(3, 6, seed=5)
    head = Head(*adapter.fold(t_KD), logit_scale=10.0)
    u_ND, v_KD = normalize(adapter.image(x_ND), dim=1), normalize(adapter.text(t_KD), dim=1)
    expected_NK = 10 * (u_ND @ v_KD.T).detach().numpy()
    np.testing.assert_allclose(head.logits(x_ND.numpy()), expected_NK, atol=1e-5)


def test_folding_does_not_follow_later_training() -> None:
    """The arrays are a copy: the best epoch stays the best epoch."""
    adapter, t_KD = perturbed(), random(3, 6)
    transform_DD, prototypes_KD = adapter.fold(t_KD)
    before = transform_DD.copy(), prototypes_KD.copy()
    with torch.no_grad():
        adapter.image_DD.zero_()
        adapter.text_DD.zero_()
    assert np.array_equal(transform_DD, before[0])
    assert np.array_equal(prototypes_KD, before[1])


def test_shifted_features_stay_within_the_radius() -> None:
    """However large its matrix, the generator moves a feature by at most the radius."""
    x_ND = normalize(random(50, 6), dim=1)
    generator = Generator(6, radius=0.25, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        generator.shift_DD.mul_(1000)
        shifted_ND = generator(x_ND)
    torch.testing.assert_close(shifted_ND.norm(dim=1), torch.ones(50))
    # A step of length 0.25 turns a unit vector by at most asin(0.25).
    assert float((shifted_ND * x_ND).sum(dim=1).min()) >= (1 - 0.25**2) ** 0.5 - 1e-6


def test_a_small_shift_is_linear() -> None:
    """Within the radius the shift is x P^T itself."""
    x_ND = normalize(random(5, 6), dim=1)
    generator = Generator(6, radius=10.0, generator=torch.Generator().manual_seed(0))
    expected_ND = normalize(x_ND + x_ND @ generator.shift_DD.T, dim=1)
    torch.testing.assert_close(generator(x_ND), expected_ND)
