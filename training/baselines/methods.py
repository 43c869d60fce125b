"""All methods by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from training.baselines import tuned
from training.baselines.clip_adapter import clip_adapter
from training.baselines.few_shot import Classifier, FewShot
from training.baselines.linear_probe import linear_probe
from training.baselines.tip_adapter import tip_adapter, tip_adapter_f
from training.selection.auto import Selected, auto
from training.tune import TextSource

AUTO: Final = "auto"
"""The method that chooses its settings and its score: docs/selection.md."""


def auto_adapter(shots: FewShot) -> Selected:
    """Return adapters, tuned and judged as selection chooses: `training.selection.auto`.

    Prompts are not tried: dozens of tunings through a text encoder take hours for each trial.
    """
    return auto(replace(shots, text=replace(shots.text, backbone=None)))


METHODS: Final[dict[str, Callable[[FewShot], Classifier]]] = {
    "zero-shot": tuned.single_template,
    "zero-shot ensemble": tuned.ensemble,
    "linear probe": linear_probe,
    "Tip-Adapter": tip_adapter,
    "Tip-Adapter-F": tip_adapter_f,
    "CLIP-Adapter": clip_adapter,
    "CoOp": tuned.coop,
    "cross-entropy": tuned.cross_entropy,
    "CRoFT": tuned.croft,
    AUTO: auto_adapter,
}
"""Each tunes from the same arguments; the same arguments give the same classifier."""


def applicable(text: TextSource) -> list[str]:
    """Return the methods that work with these classes: CoOp needs a text encoder."""
    return [name for name in METHODS if name != "CoOp" or text.backbone is not None]
