"""One step of tuning under the objective ``official``, as the authors' published code takes it.

Axes: B batch, K classes, D embedding.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training import official
from training.trainer import Epoch, Model

if TYPE_CHECKING:
    from training.tune import TuneConfig

_WARM_UP_RATE: Final = 1e-5


class OfficialTrainer:
    """Both optimisers, and one step of each phase. Has the interface of `Trainer`."""

    def __init__(self, model: Model, config: "TuneConfig") -> None:
        """Set out for ``config.epochs`` epochs, with the generator at the identity."""
        self._model, self._config = model, config
        self.generator_DD = nn.Parameter(torch.eye(len(model.adapter.image_DD)))
        # Oddity 2: whatever is minimised, everything steps, and each matrix has one momentum for
        # both phases. The authors' two optimisers have equal settings: one does the same.
        self._optimizer = torch.optim.SGD(
            [*model.adapter.parameters(), self.generator_DD],
            lr=config.learning_rate,
            momentum=0.9,
            weight_decay=config.decay,
        )
        self._epochs_done = 0

    def epoch(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Epoch:
        """Train on the batches of raw embeddings, and return the mean of each loss."""
        self._epochs_done += 1
        for group in self._optimizer.param_groups:
            group["lr"] = rate(self._epochs_done, self._config)
        steps = [self._step(x_BD, labels_B) for x_BD, labels_B in batches]
        return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}

    def _step(self, x_BD: Tensor, labels_B: Tensor) -> Epoch:
        model, config = self._model, self._config
        # Oddity 7: computed once; the steps below move the adapters, and these stay.
        known = official.features(model.adapter, x_BD, model.raw_text_KD)
        for _ in range(config.gen_steps):
            shifted_BD = official.shift(known.u_ND, self.generator_DD)
            loss = official.generator_loss(
                known, shifted_BD, labels_B, logit_scale=model.scale, lambda_1=config.lambda_1
            )
            self._descend(loss, retain_graph=True)
        losses = self._losses(known, labels_B)
        self._descend(torch.stack(list(losses.values())).sum(), retain_graph=False)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _losses(self, known: official.Features, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms, whose sum is minimised."""
        model, config = self._model, self._config
        uses_shifted = config.gen_steps > 0 and not config.vlcs
        shifted_BD = official.shift(known.u_ND, self.generator_DD)
        flattened_MD = official.flattened_at(known, shifted_BD, uses_shifted=uses_shifted)
        logits_BK = official.logits(known.u_ND, known.v_KD, model.scale)
        return {
            "cross_entropy": cross_entropy(logits_BK, labels_B),
            "shifted": official.shift_loss(
                model.adapter,
                known,
                shifted_BD,
                labels_B,
                logit_scale=model.scale,
                lambda_1=config.lambda_1,
                uses_shifted=uses_shifted,
            ),
            "energy_gradient": config.lambda_2
            * official.energy_gradient(model.adapter, flattened_MD, known.t_KD, edr=config.edr),
        }

    def _descend(self, loss: Tensor, *, retain_graph: bool) -> None:
        self._optimizer.zero_grad()
        loss.backward(retain_graph=retain_graph)  # type: ignore[no-untyped-call]
        self._optimizer.step()


def rate(epoch: int, config: "TuneConfig") -> float:
    """Return the learning rate of an epoch, counted from 1: one of warming up, then a cosine.

    The cosine starts at the second epoch and is as long as all epochs: it stops short of zero.
    """
    if epoch == 1:
        return _WARM_UP_RATE
    return config.learning_rate * (1 + math.cos(math.pi * (epoch - 2) / config.epochs)) / 2
