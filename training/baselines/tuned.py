"""The methods that `training.tune` holds: zero-shot, cross-entropy alone, CoOp, CRoFT."""

from dataclasses import replace
from typing import Any

from models.errors import ConfigError
from models.head import Head
from training.baselines.few_shot import FewShot
from training.tune import TextSource, TuneConfig, tune, zero_shot

CROSS_ENTROPY_ALONE: dict[str, Any] = {"lambda_1": 0.0, "lambda_2": 0.0, "gen_steps": 0}
"""CRoFT without its terms."""


def single_template(shots: FewShot) -> Head:
    """Return CLIP's zero-shot classifier with one template (Radford et al., ICML 2021, 3.1)."""
    single = shots.text.features_KD if shots.single is None else shots.single
    return zero_shot(replace(shots.text, features_KD=single)).head


def ensemble(shots: FewShot) -> Head:
    """Return CLIP's zero-shot classifier with the mean of all templates (same paper, 3.1.4)."""
    return zero_shot(shots.text).head


def cross_entropy(shots: FewShot) -> Head:
    """Return CRoFT's adapters, tuned by cross-entropy alone.

    An ablation of CRoFT, not a paper's method: what its terms add is the difference to it. The
    pull towards the untuned model stays, at its default.
    """
    return _tune(shots, **CROSS_ENTROPY_ALONE)


def coop(shots: FewShot) -> Head:
    """Return a context learned by cross-entropy (CoOp: Zhou et al., IJCV 2022).

    One context for all classes that starts from "a photo of a", as the authors' variant of four
    vectors does. Unlike theirs it is trained by Adam, in units of the vocabulary's length: SGD
    at 0.002 means another step for every text encoder.

    Raises:
        ConfigError: there is no text encoder.
    """
    refuse_without_text_encoder(shots.text)
    return _tune(shots, tuning="prompt", decay=0.0, **CROSS_ENTROPY_ALONE)


def croft(shots: FewShot) -> Head:
    """Return CRoFT's adapters with the defaults of `TuneConfig` (Zhu et al., ICML 2024)."""
    return _tune(shots)


def refuse_without_text_encoder(text: TextSource) -> None:
    """Raise ConfigError, in CoOp's name, where the classes have features only."""
    if text.backbone is None:
        raise ConfigError(
            f"CoOp learns prompts and needs a text encoder, which `{text.name}` does not have. "
            "Leave CoOp out; every other method works with text features alone."
        )


def _tune(shots: FewShot, **settings: Any) -> Head:
    config = TuneConfig(seed=shots.seed, epochs=shots.epochs, **settings)
    return tune(
        shots.train_NVD, shots.labels_N, text=shots.text, config=config, select=shots.select
    ).head
