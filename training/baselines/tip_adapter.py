"""Tip-Adapter and Tip-Adapter-F: a cache of the training images beside the text.

Axes: B batch, M cached images, K classes, D embedding, A values of alpha.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.baselines.few_shot import FewShot, accuracy, descend, steps, unit
from training.tune import Floats, threads

ALPHA: Final = 1.0
"""Weight of the cache: the paper's."""
BETA: Final = 5.5
"""Sharpness of the affinity: the paper's."""
_ALPHAS_A: Final = 0.1 + np.arange(20) * (3 - 0.1) / 20
_BETAS: Final = 0.1 + np.arange(200) * (7 - 0.1) / 200
"""What is searched: the grid of the authors' ImageNet configuration."""
_BATCH_SIZE: Final = 256

Wide = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class TipAdapter:
    """``logits = s x t^T + alpha exp(-beta (1 - x keys^T)) values``, for x of unit length."""

    keys_MD: Wide
    """One row a training image."""
    values_MK: Wide
    """Its label, one-hot."""
    prototypes_KD: Wide
    logit_scale: float
    alpha: float = ALPHA
    beta: float = BETA

    def logits(self, embedding_BD: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits (B, K); takes B M numbers of memory."""
        x_BD = unit(embedding_BD)
        return self._by_text(x_BD) + self.alpha * self._by_cache(x_BD, self.beta)

    def searched(self, shots: FewShot) -> "TipAdapter":
        """Return it with the alpha and beta that do best on the images to select by, if any.

        Of equally accurate pairs the authors' search keeps the first: the smallest beta, then
        the smallest alpha.
        """
        if shots.select is None or len(shots.select[1]) == 0:
            return self
        x_ND, labels_N = unit(shots.select[0]), shots.select[1]
        by_text_NK, found = self._by_text(x_ND), (-1.0, ALPHA, BETA)
        for beta in _BETAS:
            by_cache_NK = self._by_cache(x_ND, beta)
            right_A = [accuracy(by_text_NK + a * by_cache_NK, labels_N) for a in _ALPHAS_A]
            best = int(np.argmax(right_A))
            if right_A[best] > found[0]:
                found = (right_A[best], float(_ALPHAS_A[best]), float(beta))
        return replace(self, alpha=found[1], beta=found[2])

    def _by_text(self, x_BD: Wide) -> Wide:
        return self.logit_scale * x_BD @ self.prototypes_KD.T

    def _by_cache(self, x_BD: Wide, beta: float) -> Wide:
        affinity_BM = np.exp(-beta * (1 - x_BD @ self.keys_MD.T))
        return affinity_BM @ self.values_MK


def tip_adapter(shots: FewShot) -> TipAdapter:
    """Return the cache as it is (Tip-Adapter: Zhang et al., ECCV 2022); nothing is trained.

    A key is the mean of an image's views, of unit length. alpha = 1 and beta = 5.5 as in the
    paper (CRoFT's code has 1.17 and 1 as defaults, and takes one for the other), or searched on
    the images to select by. Departures: views count alike, whatever their length; the text's
    logit scale stands where the paper has CLIP's 100, so alpha weighs more where it is smaller.
    """
    return _cache(shots).searched(shots)


def tip_adapter_f(shots: FewShot) -> TipAdapter:
    """Return the cache with keys tuned by cross-entropy (Tip-Adapter-F, same paper).

    As in the authors' code: AdamW at 0.001 with eps 1e-4, a cosine over all steps, batches of
    256, keys free to leave the unit sphere, tuned at the default alpha and beta; then both are
    searched. Unlike there, the epoch is chosen on the images to select by, never on test images.
    """
    start = _cache(shots)
    keys_MD = torch.from_numpy(start.keys_MD).float().requires_grad_()
    values_MK = torch.from_numpy(start.values_MK).float()
    text_KD = torch.from_numpy(start.prototypes_KD).float()

    def logits(x_BD: Tensor) -> Tensor:
        affinity_BM = torch.exp(-BETA * (1 - x_BD @ keys_MD.T))
        return start.logit_scale * x_BD @ text_KD.T + ALPHA * affinity_BM @ values_MK

    optimizer = torch.optim.AdamW([keys_MD], lr=0.001, eps=1e-4)
    total = shots.epochs * steps(shots, _BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    with threads(1):
        descend(shots, logits, optimizer, schedule, batch_size=_BATCH_SIZE)
    return replace(start, keys_MD=keys_MD.detach().double().numpy()).searched(shots)


def _cache(shots: FewShot) -> TipAdapter:
    text = shots.text
    return TipAdapter(
        keys_MD=_keys(shots.train_NVD),
        values_MK=np.eye(len(text.features_KD))[shots.labels_N],
        prototypes_KD=unit(text.features_KD),
        logit_scale=text.logit_scale,
    )


def _keys(train_NVD: Floats) -> Wide:
    count, views, dim = train_NVD.shape
    means_MD = unit(train_NVD.reshape(-1, dim)).reshape(count, views, dim).mean(axis=1)
    # Rounded, so that those which tuning in single precision does not move stay as they are.
    return unit(means_MD).astype(np.float32).astype(np.float64)
