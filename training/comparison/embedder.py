"""Trials -> tasks: every image embedded once, and the classes as the text side sees them.

Axes: N images, V views, K classes, D embedding.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from models.embed import ViewPlan, embed_files
from models.encoder import Encoder
from models.preprocess import Preprocess
from training.baselines.few_shot import FewShot
from training.class_names import ClassSpec
from training.comparison.judge import Task
from training.comparison.shift import known_sets
from training.data import Item, domain_indices, label_indices, unit_indices
from training.encoders import MakeText
from training.progress import Report
from training.selection.surrogates import TextureView
from training.trial import Trial
from training.tune import Floats, Labels, TextSource
from training.views import ViewConfig, Views

SINGLE_TEMPLATE: Final = "a photo of a {}."
"""Of `zero-shot`, where classes have several prompts."""

Classes = tuple[ClassSpec, ...]
Plain = Mapping[str, Floats]
"""Embeddings (D,) of plain images, by digest."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """What turns images and class names into numbers."""

    encoder: Encoder
    """Of images."""
    preprocess: Preprocess
    """Picture -> pixels."""
    text: Callable[[Classes], MakeText]
    """Of classes."""
    cache: Path
    """Folder of embeddings, for all seeds, trials and later runs."""
    views: ViewConfig = field(default_factory=ViewConfig)
    """Of training images; the first view is the plain image."""
    with_textures: bool = False
    """Whether methods look at training images without their objects, as selection does."""

    def plain(self, items: Sequence[Item], on_progress: Report) -> Plain:
        """Embed images as they are."""
        rows_NVD = self._embed(items, on_progress)
        return {item.digest: row_VD[0] for item, row_VD in zip(items, rows_NVD, strict=True)}

    def train(
        self, items: Sequence[Item], *, seed: int, on_progress: Report | None = None
    ) -> Floats:
        """Embed the views that a seed has of training images: (N, V, D)."""
        return self._embed(items, on_progress, Views(config=self.views, seed=seed))

    def textures(
        self, items: Sequence[Item], *, seed: int, on_progress: Report | None = None
    ) -> Floats:
        """Embed training images without their objects: (N, D)."""
        rows_ND: Floats = self._embed(items, on_progress, TextureView(seed=seed))[:, 0]
        return rows_ND

    def _embed(
        self, items: Sequence[Item], on_progress: Report | None, views: ViewPlan | None = None
    ) -> Floats:
        return embed_files(
            items,
            self.encoder,
            self.preprocess,
            cache=self.cache,
            views=views,
            on_progress=on_progress,
        )

    def tasks(self, trials: Iterable[Trial], plain: Plain) -> Iterator[Task]:
        """Yield each trial in embeddings."""
        # A text encoder reads the same prompts for every trial, a thousand classes for minutes.
        encoded: dict[Classes, _Text] = {}
        for trial in trials:
            train_NVD = self.train(trial.train, seed=trial.seed)
            labels_N = label_indices(trial.train, trial.classes)
            text = encoded.get(trial.classes)
            if text is None:
                text = _text(self.text(trial.classes)(train_NVD[:, 0], labels_N), trial.classes)
            if text.all_prompts.backbone is not None:
                encoded[trial.classes] = text
            shots = FewShot(
                train_NVD=train_NVD,
                labels_N=labels_N,
                text=text.all_prompts,
                single=text.single_KD,
                select=_labelled(trial, trial.select, plain) if trial.select else None,
                domains_N=domain_indices(trial.train),
                units_N=unit_indices(trial.train),
                texture_ND=self.textures(trial.train, seed=trial.seed)
                if self.with_textures
                else None,
                seed=trial.seed,
            )
            yield Task(
                name=trial.name,
                shots=shots,
                known={n: _labelled(trial, items, plain) for n, items in known_sets(trial).items()},
                unknown={n: _rows(items, plain) for n, items in trial.unknown.items()},
            )


def judged_items(trials: Iterable[Trial]) -> tuple[Item, ...]:
    """Return every image that is looked at as it is, once."""
    by_digest = {
        item.digest: item
        for trial in trials
        for items in (trial.select, *trial.known.values(), *trial.unknown.values())
        for item in items
    }
    return tuple(by_digest.values())


def trained_items(trials: Iterable[Trial]) -> dict[int, tuple[Item, ...]]:
    """Return every training image once for each seed, which has its own views."""
    by_seed: dict[int, dict[str, Item]] = {}
    for trial in trials:
        by_seed.setdefault(trial.seed, {}).update({item.digest: item for item in trial.train})
    return {seed: tuple(items.values()) for seed, items in by_seed.items()}


def several_templates(classes: Sequence[ClassSpec]) -> bool:
    """Return whether some class has more than one prompt to average over."""
    return any(len(spec.prompts) > 1 for spec in classes)


@dataclass(frozen=True, slots=True)
class _Text:
    all_prompts: TextSource
    single_KD: Floats | None


def _text(text: TextSource, classes: Sequence[ClassSpec]) -> _Text:
    """Return the features of all prompts, and those of the usual one where they differ."""
    if text.backbone is None or not several_templates(classes):
        return _Text(text, None)
    prompts_K = [[SINGLE_TEMPLATE.format(spec.display_name)] for spec in classes]
    return _Text(text, text.backbone.text_features(prompts_K))


def _rows(items: Sequence[Item], plain: Plain) -> Floats:
    return np.stack([plain[item.digest] for item in items])


def _labelled(trial: Trial, items: Sequence[Item], plain: Plain) -> tuple[Floats, Labels]:
    return _rows(items, plain), label_indices(items, trial.classes)
