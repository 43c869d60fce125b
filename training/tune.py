"""Tune the head on cached embeddings: adapters, prompts or both, under one of two objectives.

Axes: N images, V views, B batch, K classes, M negative names, D embedding.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import ConfigError
from models.head import Head
from models.nn.adapter import Adapter
from models.nn.backbone import Backbone
from training.official import Edr
from training.official_trainer import OfficialTrainer
from training.text_features import unit_rows, with_means
from training.trainer import Epoch, Model, Trainer

Tuning = Literal["adapter", "prompt", "prompt+adapter"]
Objective = Literal["croft", "official"]
Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


_LARGE_WIDTH: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneConfig:
    """What is tuned, and how."""

    tuning: Tuning = "adapter"
    """``adapter`` (the paper), ``prompt`` (a learned context) or both."""
    objective: Objective = "croft"
    """The losses, and how a step is taken: ``croft`` (the paper) or ``official`` (the authors'
    published code, which tunes adapters only; its settings are `official_defaults`, as the ones
    below are for ``croft``): docs/method.md."""
    epochs: int = 30
    """Passes over the images; each takes one view of every image."""
    batch_size: int = 64
    """Images a step."""
    learning_rate: float = 0.0005
    """Of the adapters and the generator: SGD with momentum 0.9 and a cosine schedule, at a logit
    scale of 100; scaled for others, so that logits move as fast. ``official`` takes it as it is,
    lets one epoch warm up, and lowers it by the epoch."""
    prompt_learning_rate: float = 0.01
    """Of the context: Adam with the same schedule."""
    lambda_1: float = 1.0
    """Weight of the shifted features' loss."""
    lambda_2: float = 1.0
    """Weight of the squared energy gradient."""
    gen_steps: int = 1
    """Steps of the generator for each of the adapters; 0 for no shifted features."""
    shift_radius: float = 0.25
    """How far the generator may move a feature, in lengths of the feature. Not in ``official``."""
    ratio_image: float = 0.2
    """Share of the adapter in image features."""
    ratio_text: float = 0.5
    """Share of the adapter in text features."""
    ratio_mean: float = 0.0
    """Share of the mean training image in each class's text feature, before anything is tuned; for
    classes whose names the text encoder knows badly. Adapters only, and not in ``official``."""
    decay: float = 0.01
    """Pull towards the untuned model; in ``official`` towards zero, of the generator too."""
    edr: Edr = "setup2"
    """How ``official`` scales the squared energy gradient: as the authors do for ImageNet
    (``setup1``) or for everything else."""
    vlcs: bool = False
    """Whether ``official`` leaves shifted features out of the penalty, as the authors do for
    VLCS."""
    context_words: str = "a photo of a"
    """The context that prompt tuning starts from."""
    context_length: int | None = None
    """Number of context vectors; None for as many as the words' tokens."""
    class_specific: bool = False
    """A context for each class rather than one for all."""
    seed: int = 0
    """Of order, views and generator."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be run."""
        choices = (("tuning", Tuning), ("objective", Objective), ("edr", Edr))
        for name, allowed in ((name, get_args(choice)) for name, choice in choices):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"`{name}` must be one of {', '.join(allowed)}, got {getattr(self, name)!r}."
                )
        for name in (
            "epochs",
            "batch_size",
            "learning_rate",
            "prompt_learning_rate",
            "shift_radius",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f"`{name}` must be > 0, got {getattr(self, name)}.")
        for name in ("lambda_1", "lambda_2", "gen_steps", "decay"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"`{name}` must be >= 0, got {getattr(self, name)}.")
        for name in ("ratio_image", "ratio_text", "ratio_mean"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}` must be in 0..1, got {getattr(self, name)}.")
        if self.context_length is not None and self.context_length < 1:
            raise ConfigError(f"`context_length` must be >= 1, got {self.context_length}.")
        self._check_objective()

    def _check_objective(self) -> None:
        """Refuse settings that the objective would ignore, to the surprise of who made them."""
        if self.objective == "official" and self.tuning != "adapter":
            raise ConfigError(
                f"`objective` is 'official', which is defined for adapters only, and `tuning` is "
                f'{self.tuning!r}. Use `tuning = "adapter"`, or the objective "croft".'
            )
        if self.ratio_mean > 0 and (self.objective == "official" or self.tuning != "adapter"):
            raise ConfigError(
                f"`ratio_mean` is {self.ratio_mean}, which is for `tuning` 'adapter' under the "
                f"objective 'croft'; got {self.tuning!r} and {self.objective!r}. Leave it at 0."
            )
        if self.objective != "official" and (self.edr != "setup2" or self.vlcs):
            raise ConfigError(
                f"`edr` and `vlcs` belong to the objective 'official', and `objective` is "
                f"{self.objective!r}."
            )


def official_defaults(**changes: Any) -> TuneConfig:
    """Return the settings that the authors train with on PACS, with changes.

    Raises:
        ConfigError: a change that cannot be run.
    """
    settings: dict[str, Any] = {
        "objective": "official",
        "batch_size": 32,
        "learning_rate": 0.002,
        "lambda_1": 15.0,
        "lambda_2": 10.0,
        "decay": 0.1,
    }
    return TuneConfig(**(settings | changes))


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """Names that are no class, as the text side sees them."""

    names: tuple[str, ...]
    """What people read, which prompt tuning puts behind its context."""
    features_MD: Floats
    """Made as the classes' are: (M, D)."""


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """The classes as the text side sees them."""

    features_KD: Floats
    """Of the classes' own prompts, or of wherever a foreign encoder's come from: (K, D)."""
    logit_scale: float
    """The inverse temperature of the encoder's logits."""
    name: str
    """Of the encoder."""
    backbone: Backbone | None = None
    """A text encoder, which prompt tuning needs."""
    class_names: tuple[str, ...] = ()
    """What the classes are called behind a learned context."""
    negatives: Negatives | None = None
    """Names that are no class, for the score that needs them."""
    remake: Callable[[Floats, Labels], "TextSource"] | None = None
    """Makes it anew from other plain images (N, D) and labels (N,), where images stand in for
    text; None where they do not."""

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        *,
        names: Sequence[str],
        prompts: Sequence[Sequence[str]],
        negatives: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """Encode K classes, each by its prompts, with the backbone's text encoder.

        ``negatives`` are names that are no class, with theirs.
        """
        return cls(
            features_KD=backbone.text_features(prompts),
            logit_scale=backbone.logit_scale,
            name=backbone.name,
            backbone=backbone,
            class_names=tuple(names),
            negatives=None
            if not negatives
            else Negatives(
                names=tuple(negatives),
                features_MD=backbone.text_features(list(negatives.values())),
            ),
        )

    def with_means(self, train_ND: Floats, labels_N: Labels, share: float) -> Self:
        """Mix in the classes' mean images; other names move as the classes do on average."""
        mixed_KD = with_means(self.features_KD, train_ND, labels_N, share)
        if self.negatives is None:
            return replace(self, features_KD=mixed_KD)
        shift_D = np.mean(mixed_KD - unit_rows(self.features_KD), axis=0)
        moved_MD = unit_rows(self.negatives.features_MD) + shift_D
        negatives = replace(self.negatives, features_MD=moved_MD)
        return replace(self, features_KD=mixed_KD, negatives=negatives)

    def of_classes(self, kept_C: NDArray[np.int64]) -> Self:
        """Return a part of the classes, in the order of their indices, without negatives."""
        return replace(
            self,
            features_KD=self.features_KD[kept_C],
            class_names=tuple(self.class_names[k] for k in kept_C) if self.class_names else (),
            negatives=None,
        )


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A head, and how it came about."""

    image_transform_DD: Floats
    """Applied from the right to raw image embeddings, (D, D)."""
    prototypes_KD: Floats
    """One unit row a class, (K, D)."""
    logit_scale: float
    """The encoder's, untouched."""
    history: list[Epoch]
    """Losses of each epoch, and the accuracy on the images to select by; the first entry, epoch
    0, is the untuned model."""
    epoch: int = 0
    """The epoch that was kept."""
    context_tokens_readable: list[str] | None = None
    """The learned context in words that resemble it; None without prompt tuning."""
    negatives_MD: Floats | None = None
    """One unit row a name that is no class, made as the prototypes are, (M, D)."""

    @property
    def head(self) -> Head:
        """What is served."""
        return Head(self.image_transform_DD, self.prototypes_KD, self.logit_scale)


def zero_shot(text: TextSource) -> Tuned:
    """Return the untuned model."""
    adapter = Adapter(text.features_KD.shape[1], ratio_image=0.0, ratio_text=0.0)
    transform_DD, prototypes_KD = adapter.fold(torch.from_numpy(text.features_KD))
    negatives = text.negatives
    return Tuned(
        image_transform_DD=transform_DD,
        prototypes_KD=prototypes_KD,
        logit_scale=text.logit_scale,
        history=[],
        negatives_MD=(
            None
            if negatives is None
            else adapter.prototypes(torch.from_numpy(negatives.features_MD))
        ),
    )


def tune(
    train_NVD: Floats,
    labels_N: Labels,
    *,
    text: TextSource,
    config: TuneConfig,
    select: tuple[Floats, Labels] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Tune, and return the head of the epoch that does best on the images to select by.

    The untuned model competes too; of equally accurate epochs the latest is kept, and without
    images to select by the last. ``official`` keeps the last epoch whatever they say, and drops
    what remains of an epoch's images after its last full batch, if there is a full one. The same
    arguments give the same head, bit for bit, on the same machine.

    Args:
        train_NVD: embeddings of V views of each training image, (N, V, D).
        labels_N: class indices, (N,).
        text: the classes.
        config: what is tuned, and how.
        select: embeddings (N', D) and labels (N',) of images that choose the epoch.
        on_epoch: told how many epochs are done, and of how many.

    Raises:
        ConfigError: the shapes do not belong together, or prompt tuning lacks a text encoder.
    """
    _check(train_NVD, labels_N, text)
    if config.ratio_mean > 0:
        text = text.with_means(train_NVD[:, 0], labels_N, config.ratio_mean)
    model = Model(text, config)
    with threads(_thread_count(model)):
        return _tune(model, train_NVD, labels_N, config, select, on_epoch)


def _tune(
    model: Model,
    train_NVD: Floats,
    labels_N: Labels,
    config: TuneConfig,
    select: tuple[Floats, Labels] | None,
    on_epoch: Callable[[int, int], None] | None,
) -> Tuned:
    training = _trainer(model, config, images=len(labels_N))
    as_published = config.objective == "official"
    rng = np.random.default_rng(config.seed)
    history: list[Epoch] = [{"epoch": 0.0, **_judge(model, select)}]
    kept, best = 0, _state(model)
    for epoch in range(1, config.epochs + 1):
        losses = training.epoch(
            batches(train_NVD, labels_N, size=config.batch_size, rng=rng, drop_last=as_published)
        )
        history.append({"epoch": float(epoch), **losses, **_judge(model, select)})
        judged = history[-1].get("select_accuracy", 1.0)
        if as_published or judged >= history[kept].get("select_accuracy", 0.0):
            kept, best = epoch, _state(model)
        if on_epoch is not None:
            on_epoch(epoch, config.epochs)
    model.load_state_dict(best)
    folded = model.fold()
    return Tuned(
        image_transform_DD=folded.transform_DD,
        prototypes_KD=folded.prototypes_KD,
        logit_scale=model.scale,
        history=history,
        epoch=kept,
        context_tokens_readable=folded.readable,
        negatives_MD=model.negatives(),
    )


def _state(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _trainer(model: Model, config: TuneConfig, *, images: int) -> Trainer | OfficialTrainer:
    if config.objective == "official":
        return OfficialTrainer(model, config)
    return Trainer(model, config, steps=math.ceil(images / config.batch_size))


def _thread_count(model: Model) -> int:
    """Return one thread unless a large text encoder runs in every step."""
    small = model.prompts is None or model.prompts.context.shape[-1] < _LARGE_WIDTH
    return 1 if small else torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads: one, unless matrices are large.

    Small ones are not worth sharing: more threads mostly wait for each other, and round
    differently on another number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batches(
    train_NVD: Floats,
    labels_N: Labels,
    *,
    size: int,
    rng: np.random.Generator,
    drop_last: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images in random order, each as one of its views, raw.

    All of them; with ``drop_last`` without what remains after the last full batch, if there is one.
    """
    count, views, _ = train_NVD.shape
    order_N, view_N = rng.permutation(count), rng.integers(views, size=(count,))
    dropped = count % size if drop_last and count >= size else 0
    for start in range(0, count - dropped, size):
        rows_B = order_N[start : start + size]
        x_BD = torch.from_numpy(train_NVD[rows_B, view_N[rows_B]])
        yield x_BD, torch.from_numpy(labels_N[rows_B])


def _judge(model: Model, select: tuple[Floats, Labels] | None) -> Epoch:
    if select is None or len(select[1]) == 0:
        return {}
    folded, (embeddings_ND, labels_N) = model.fold(), select
    scores_NK = embeddings_ND @ folded.transform_DD @ folded.prototypes_KD.T
    return {"select_accuracy": float(np.mean(scores_NK.argmax(axis=1) == labels_N))}


def _check(train_NVD: Floats, labels_N: Labels, text: TextSource) -> None:
    classes, dim = text.features_KD.shape
    if train_NVD.ndim != 3 or train_NVD.shape[2] != dim or len(train_NVD) != len(labels_N):
        raise ConfigError(
            f"Training embeddings must be (N, V, {dim}) with N labels, got {train_NVD.shape} "
            f"and {labels_N.shape}: image and text encoder must belong together."
        )
    if len(labels_N) == 0 or labels_N.min() < 0 or labels_N.max() >= classes:
        raise ConfigError(f"Labels must be 0..{classes - 1}, for {classes} classes, and present.")
