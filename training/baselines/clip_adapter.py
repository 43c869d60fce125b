"""CLIP-Adapter: a bottleneck beside the image features.

Axes: B batch, K classes, D embedding, H bottleneck.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize
from torch.optim.lr_scheduler import LambdaLR

from training.baselines.few_shot import FewShot, descend, steps, unit
from training.tune import threads

REDUCTION: Final = 4
"""D / H."""
RATIO: Final = 0.2
"""Share of the adapter in the image features."""
_BATCH_SIZE: Final = 32
_RATE: Final = 0.002
_WARM_UP: Final = 1e-5 / _RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipAdapter:
    """``u = ratio relu(relu(x down^T) up^T) + (1 - ratio) x``, and cosine logits with the text."""

    down_HD: NDArray[np.float32]
    up_DH: NDArray[np.float32]
    prototypes_KD: NDArray[np.float64]
    ratio: float
    logit_scale: float

    def logits(self, embedding_BD: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return scaled cosines, (B, K); an embedding's length does not matter."""
        x_BD = unit(embedding_BD)
        hidden_BH = np.maximum(x_BD @ self.down_HD.T, 0)
        adapted_BD = np.maximum(hidden_BH @ self.up_DH.T, 0)
        u_BD = self.ratio * adapted_BD + (1 - self.ratio) * x_BD
        return self.logit_scale * unit(u_BD) @ self.prototypes_KD.T


def clip_adapter(shots: FewShot, *, ratio: float = RATIO) -> ClipAdapter:
    """Tune the bottleneck (CLIP-Adapter: Gao et al., IJCV 2024) by cross-entropy.

    On the image side, where the paper finds it best, without biases, with a ReLU after each
    layer, as in the authors' code; and as CRoFT's authors train it: batches of 32, SGD with
    momentum 0.9, a cosine over the epochs after one at 1e-5.

    Departures: the learning rate of 0.002, and the weight decay with it, is stated at CLIP's
    logit scale of 100 and scaled for others as `training.tune` does; weight decay is Dassl's
    5e-4. Features are of unit length, which changes nothing: ReLU layers without biases map c x
    to c times what they map x to.
    """
    text_KD = unit(shots.text.features_KD)
    t_KD = torch.from_numpy(text_KD).float()
    down_HD, up_DH = _initial(t_KD.shape[1], shots.seed)

    def logits(x_BD: Tensor) -> Tensor:
        adapted_BD = torch.relu(torch.relu(x_BD @ down_HD.T) @ up_DH.T)
        u_BD = ratio * adapted_BD + (1 - ratio) * x_BD
        return shots.text.logit_scale * normalize(u_BD, dim=1) @ t_KD.T

    gain = (100 / shots.text.logit_scale) ** 2
    optimizer = torch.optim.SGD(
        [down_HD, up_DH], lr=_RATE * gain, momentum=0.9, weight_decay=5e-4 / gain
    )
    schedule = _schedule(shots, optimizer)
    with threads(1):
        descend(shots, logits, optimizer, schedule, batch_size=_BATCH_SIZE)
    return ClipAdapter(
        down_HD=down_HD.detach().numpy(),
        up_DH=up_DH.detach().numpy(),
        prototypes_KD=text_KD,
        ratio=ratio,
        logit_scale=shots.text.logit_scale,
    )


def _initial(dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return down (H, D) and up (D, H), drawn as torch's linear layers are."""
    seeded = torch.Generator().manual_seed(seed)
    shapes = [(max(1, dim // REDUCTION), dim), (dim, max(1, dim // REDUCTION))]
    down_HD, up_DH = (
        torch.nn.init.kaiming_uniform_(torch.empty(shape), a=math.sqrt(5), generator=seeded)
        for shape in shapes
    )
    return down_HD.requires_grad_(), up_DH.requires_grad_()


def _schedule(shots: FewShot, optimizer: torch.optim.Optimizer) -> LambdaLR:
    """Return one epoch of warming up, then a cosine, constant within an epoch."""
    length = steps(shots, _BATCH_SIZE)

    def share(step: int) -> float:
        epoch = step // length
        return 0.5 * (1 + math.cos(math.pi * epoch / shots.epochs)) if epoch else _WARM_UP

    return LambdaLR(optimizer, share)
