"""One step of tuning under the ``croft`` objective: what is trained, by which optimiser.

Axes: B batch, K classes, M negative names, D embedding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.errors import ConfigError
from models.nn.adapter import Adapter, Generator
from models.nn.prompts import Prompts
from training import objective

if TYPE_CHECKING:
    from training.tune import TextSource, TuneConfig

Floats = NDArray[np.float32]
Epoch = dict[str, float]

_SCALE: Final = 100.0
"""The logit scale at which ``learning_rate`` is stated: CLIP's."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a head keeps of a model."""

    transform_DD: Floats
    prototypes_KD: Floats
    readable: list[str] | None


class Model(nn.Module):
    """Everything that is tuned, and the frozen text features where the text is not."""

    def __init__(self, text: "TextSource", config: "TuneConfig") -> None:
        """Start at the untuned model.

        Raises:
            ConfigError: prompt tuning without a text encoder that it works with.
        """
        super().__init__()
        self.scale = text.logit_scale
        self.adapter = Adapter(
            text.features_KD.shape[1],
            ratio_image=config.ratio_image,
            ratio_text=config.ratio_text,
        ).requires_grad_("adapter" in config.tuning)
        self.prompts = _prompts(text, config) if "prompt" in config.tuning else None
        self.raw_text_KD = torch.from_numpy(text.features_KD)
        self._features_KD = normalize(self.raw_text_KD, dim=1)
        self._negatives = text.negatives

    def text(self) -> Tensor:
        """Return unit text features t (K, D), before the adapter."""
        if self.prompts is None:
            return self._features_KD
        return normalize(self.prompts(), dim=1)

    @torch.no_grad()
    def fold(self) -> Folded:
        """Return the arrays that a head is served with, and the context in words."""
        transform_DD, prototypes_KD = self.adapter.fold(self.text())
        readable = None if self.prompts is None else self.prompts.readable()
        return Folded(transform_DD, prototypes_KD, readable)

    @torch.no_grad()
    def negatives(self) -> Floats | None:
        """Return unit features of names that are no class, as prototypes are made: (M, D)."""
        if self._negatives is None:
            return None
        t_MD = (
            torch.from_numpy(self._negatives.features_MD)
            if self.prompts is None
            else self.prompts.of_others(self._negatives.names)
        )
        return self.adapter.prototypes(normalize(t_MD, dim=1))


def _prompts(text: "TextSource", config: "TuneConfig") -> Prompts:
    if text.backbone is None:
        raise ConfigError(
            f"`tuning` is {config.tuning!r}, and prompt tuning needs a text encoder, which "
            f'`{text.name}` does not have. Use "adapter", which works with any text features.'
        )
    return Prompts(
        text.backbone.text_tower(),
        text.class_names,
        words=config.context_words,
        length=config.context_length,
        class_specific=config.class_specific,
    )


class Trainer:
    """The optimisers, and one step of each side."""

    def __init__(self, model: Model, config: "TuneConfig", *, steps: int) -> None:
        """Set out for ``config.epochs`` epochs of so many steps."""
        self._model, self._config = model, config
        seeded = torch.Generator().manual_seed(config.seed)
        self.generator = Generator(
            len(model.adapter.image_DD), radius=config.shift_radius, generator=seeded
        )
        rate = config.learning_rate * (_SCALE / model.scale) ** 2
        self._challenger = torch.optim.SGD(self.generator.parameters(), lr=rate, momentum=0.9)
        tuned: list[torch.optim.Optimizer] = []
        if "adapter" in config.tuning:
            tuned.append(torch.optim.SGD(model.adapter.parameters(), lr=rate, momentum=0.9))
        if model.prompts is not None:
            tuned.append(torch.optim.Adam([model.prompts.context], lr=config.prompt_learning_rate))
        self._tuned = tuned
        total = config.epochs * steps
        self._schedules = [
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
            for optimizer in ([self._challenger] if config.gen_steps else []) + tuned
        ]

    def epoch(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Epoch:
        """Train on the batches of raw embeddings, and return the mean of each loss."""
        steps = [self._step(normalize(x_BD, dim=1), labels_B) for x_BD, labels_B in batches]
        return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}

    def _step(self, x_BD: Tensor, labels_B: Tensor) -> Epoch:
        for _ in range(self._config.gen_steps):
            self._challenge(x_BD, labels_B)
        losses = self._losses(x_BD, labels_B)
        for optimizer in self._tuned:
            optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        for optimizer in self._tuned:
            optimizer.step()
        for schedule in self._schedules:
            schedule.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _challenge(self, x_BD: Tensor, labels_B: Tensor) -> None:
        """Let the generator find features that are harder for the model as it stands."""
        model = self._model
        with torch.no_grad():
            u_BD, v_KD = model.adapter.image(x_BD), model.adapter.text(model.text())
        shifted_BD = model.adapter.image(self.generator(x_BD))
        loss = objective.generator_loss(shifted_BD, u_BD, v_KD, labels_B, model.scale)
        parameters = list(self.generator.parameters())
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            parameter.grad = gradient
        self._challenger.step()

    def _losses(self, x_BD: Tensor, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms, whose sum is minimised."""
        model, config = self._model, self._config
        t_KD = model.text()
        u_BD, v_KD = model.adapter.image(x_BD), model.adapter.text(t_KD)
        seen = [x_BD]
        losses = {
            "cross_entropy": objective.cross_entropy(
                objective.cosines(u_BD, v_KD), labels_B, model.scale
            )
        }
        if config.gen_steps > 0:
            with torch.no_grad():
                seen.append(self.generator(x_BD))
            losses["shifted"] = config.lambda_1 * objective.shift_loss(
                model.adapter.image(seen[1]), u_BD, v_KD, labels_B, model.scale
            )
        if config.lambda_2 > 0:
            flat = torch.stack([self._energy_gradient(features, t_KD) for features in seen])
            losses["energy_gradient"] = config.lambda_2 * flat.sum()
        if config.decay > 0:
            losses["decay"] = config.decay * self._decay()
        return losses

    def _energy_gradient(self, x_BD: Tensor, t_KD: Tensor) -> Tensor:
        model, total = self._model, torch.zeros(())
        if "adapter" in self._config.tuning:
            total = total + objective.energy_gradient(model.adapter, x_BD, t_KD, model.scale)
        if model.prompts is not None:
            cosines_BK = objective.cosines(model.adapter.image(x_BD), model.adapter.text(t_KD))
            mean_energy = objective.energy(cosines_BK, model.scale).mean()
            total = total + objective.context_gradient(mean_energy, model.prompts.context)
        return total

    def _decay(self) -> Tensor:
        model = self._model
        identity_DD = torch.eye(len(model.adapter.image_DD))
        pulls = []
        if "adapter" in self._config.tuning:
            pulls += [objective.decay(w_DD, identity_DD) for w_DD in model.adapter.parameters()]
        if model.prompts is not None:
            pulls.append(objective.decay(model.prompts.context, model.prompts.initial))
        return torch.stack(pulls).sum()
