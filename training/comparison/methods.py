"""Which methods and scores a comparison has, and which of them it leaves out and why."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from models.errors import ConfigError
from models.scores import SCORES
from training.baselines.methods import METHODS, applicable
from training.comparison.embedder import several_templates
from training.comparison.judge import COMPARED
from training.trial import Trial
from training.tune import TextSource

_BARE: Final = TextSource(
    features_KD=np.zeros((1, 1), dtype=np.float32), logit_scale=1.0, name="bare"
)
"""Classes without a text encoder."""


def chosen_methods(given: str | None) -> list[str]:
    """Read ``--methods``: names with commas between them; None means all.

    Raises:
        ConfigError: there is no such method; names those that there are.
    """
    return _chosen(given, METHODS, flag="--methods", there_are=", ".join(METHODS))


def chosen_scores(given: str | None) -> list[str]:
    """Read ``--scores``: names with commas between them; None means the usual ones.

    Raises:
        ConfigError: there is no such score, or it needs more than a comparison has.
    """
    if given is None:
        return list(COMPARED)
    allowed = [name for name, spec in SCORES.items() if spec.needs != "negative names"]
    there_are = f"{', '.join(COMPARED)}, and other pairs of logits and embeddings, as gen+knn"
    return _chosen(given, allowed, flag="--scores", there_are=there_are)


def _chosen(given: str | None, allowed: Iterable[str], *, flag: str, there_are: str) -> list[str]:
    """Return what is chosen in the order of what is allowed."""
    names = [name.strip() for name in given.split(",")] if given is not None else allowed
    if strangers := sorted(set(names) - set(allowed)):
        raise ConfigError(f"{flag} has {', '.join(map(repr, strangers))}; there are: {there_are}.")
    return [name for name in allowed if name in names]


def left_out(
    methods: Sequence[str], *, trials: Sequence[Trial], text_encoder: bool
) -> dict[str, str]:
    """Return the methods that cannot be compared on every trial, and why."""
    why = {}
    if not text_encoder:
        needing = set(METHODS) - set(applicable(_BARE))
        why = dict.fromkeys(needing, "it needs a text encoder, and this encoder has none")
    if not (text_encoder and all(several_templates(trial.classes) for trial in trials)):
        why["zero-shot ensemble"] = "each class has one text feature: it would equal zero-shot"
    if any(len({i.label for i in t.train}) < len(t.classes) for t in trials):
        why["linear probe"] = "it needs a training image of each class, and a trial lacks some"
    return {name: why[name] for name in methods if name in why}
