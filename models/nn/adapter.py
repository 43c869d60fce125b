"""What CRoFT trains: two residual linear adapters, and the generator that challenges them.

Axes: N images, K classes, D embedding.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

Floats = NDArray[np.float32]


class Adapter(nn.Module):
    """Two linear maps, each mixed with the identity (Zhu et al., CRoFT, ICML 2024).

    Image feature x and text feature t become

        u = r_i x W_I^T + (1 - r_i) x,        v = r_t t W_T^T + (1 - r_t) t.

    W_I = W_T = I at first: the untuned model. The lengths of x, t, u and v never matter.
    """

    def __init__(self, dim: int, *, ratio_image: float, ratio_text: float) -> None:
        """Start at the identity, in D = ``dim`` dimensions."""
        super().__init__()
        self.image_DD = nn.Parameter(torch.eye(dim))
        self.text_DD = nn.Parameter(torch.eye(dim))
        self.ratio_image, self.ratio_text = ratio_image, ratio_text

    def image(self, x_ND: Tensor) -> Tensor:
        """Return adapted image features u (N, D)."""
        return torch.lerp(x_ND, x_ND @ self.image_DD.T, self.ratio_image)

    def text(self, t_KD: Tensor) -> Tensor:
        """Return adapted text features v (K, D)."""
        return torch.lerp(t_KD, t_KD @ self.text_DD.T, self.ratio_text)

    @torch.no_grad()
    def fold(self, t_KD: Tensor) -> tuple[Floats, Floats]:
        """Return the two arrays that a head is served with.

        Returns:
            image_transform: r_i W_I^T + (1 - r_i) I, shape (D, D): u = x @ image_transform.
            prototypes: v of unit length, shape (K, D).
        """
        identity_DD = torch.eye(len(self.image_DD))
        transform_DD = torch.lerp(identity_DD, self.image_DD.T, self.ratio_image)
        return transform_DD.numpy().copy(), self.prototypes(t_KD)

    @torch.no_grad()
    def prototypes(self, t_KD: Tensor) -> Floats:
        """Return v of unit length, shape (K, D): what a head compares with."""
        return normalize(self.text(t_KD).double(), dim=1).float().numpy()


class Generator(nn.Module):
    """Moves image features as a change of style might: c = normalise(x + d), d = x P^T.

    d is at most ``radius`` long, for x of unit length: without a bound the generator ends at
    features that have nothing in common with images of the class.
    """

    def __init__(self, dim: int, *, radius: float, generator: torch.Generator) -> None:
        """Start near the identity: exactly there, moving away from x has no slope."""
        super().__init__()
        noise_DD = torch.randn(dim, dim, generator=generator)
        self.shift_DD = nn.Parameter(0.1 / dim**0.5 * noise_DD)
        self.radius = radius

    def forward(self, x_ND: Tensor) -> Tensor:
        """Return shifted features c (N, D), of unit length, for x of unit length."""
        d_ND = x_ND @ self.shift_DD.T
        excess_N1 = d_ND.norm(dim=1, keepdim=True) / self.radius
        return normalize(x_ND + d_ND / excess_N1.clamp(min=1), dim=1)
