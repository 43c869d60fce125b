"""What `auto` will do on trials: how many tunings it takes, and where it has nothing to select by.

Axes: N images, V views, K classes, D embedding.
"""

from collections.abc import Sequence

import numpy as np

from training.baselines.few_shot import FewShot
from training.data import domain_indices, label_indices, unit_indices
from training.selection.select import Plan, plan
from training.trial import Trial
from training.tune import TextSource, TuneConfig


def selects(trial: Trial) -> bool:
    """Return whether there is something to select by."""
    return isinstance(_plan(trial), Plan)


def selecting_lines(trials: Sequence[Trial]) -> list[str]:
    """Say both, before any image is embedded."""
    plans = [_plan(trial) for trial in trials]
    tunings = sum(made.tunings for made in plans if isinstance(made, Plan))
    reasons = [made for made in plans if isinstance(made, str)]
    lines = []
    if tunings:
        lines.append(
            f"auto tunes {tunings:,} times more, on parts of the training images, to select by; it "
            "is judged under the score it selects."
        )
    if reasons:
        lines.append(
            f"auto selects nothing in {len(reasons)} of {len(trials)} trials, and is CRoFT by the "
            f"energy there: {'; '.join(dict.fromkeys(reasons))}."
        )
    return lines


def _plan(trial: Trial) -> Plan | str:
    return plan(_without_embeddings(trial), TuneConfig(seed=trial.seed))


def _without_embeddings(trial: Trial) -> FewShot:
    """Return classes, domains and groups of the training images: a plan asks for no more."""
    text = TextSource(
        features_KD=np.zeros((len(trial.classes), 1), dtype=np.float32),
        logit_scale=1.0,
        name="none",
        class_names=tuple(spec.display_name for spec in trial.classes),
    )
    return FewShot(
        train_NVD=np.zeros((len(trial.train), 1, 1), dtype=np.float32),
        labels_N=label_indices(trial.train, trial.classes),
        text=text,
        domains_N=domain_indices(trial.train),
        units_N=unit_indices(trial.train),
        seed=trial.seed,
    )
