"""How long a selection will take here, from a few steps of each setting."""

import time
from dataclasses import replace
from math import ceil
from typing import Final

import numpy as np

from training.baselines.few_shot import FewShot
from training.selection.judge import judge, part_of_round
from training.selection.select import Plan
from training.tune import Labels, TuneConfig, tune

_PROBED: Final = 2
"""Steps of an epoch that is timed. Prompts of many classes take seconds for each."""


def forecast(plan: Plan, shots: FewShot) -> float:
    """Return the seconds that a plan will take, by its first round and the load of the moment."""
    part = part_of_round(shots, plan.rounds[0])
    quick = replace(plan.settings[0], tuning="adapter", epochs=1)
    _seconds(part, quick)  # whatever torch does but once
    tuning = sum(_seconds(part, config) for config in plan.settings)
    first, *more = _judging(plan, shots, quick)
    scoring = max(0.0, min(more) - _seconds(part, quick))
    once = max(0.0, first - min(more))
    return len(plan.rounds) * (once + tuning + len(plan.settings) * scoring)


def _judging(plan: Plan, shots: FewShot, config: TuneConfig) -> list[float]:
    """Return what a round's first judgement takes, and what two others do.

    The first has what is computed once a round, such as distances that no tuning moves.
    """
    stamps = [time.perf_counter()]
    for _ in judge(shots, plan.rounds[0], [config] * 3):
        stamps.append(time.perf_counter())
    return np.diff(stamps).tolist()


def _seconds(part: FewShot, config: TuneConfig) -> float:
    """Return what a tuning will take, by the second of two short epochs, and what is no epoch."""
    few = slice(_PROBED * config.batch_size)
    labels_N = part.labels_N[few]
    stamps = [time.perf_counter()]

    def stamp(*_: int) -> None:
        stamps.append(time.perf_counter())

    brief = replace(config, epochs=2)
    tune(part.train_NVD[few], labels_N, text=part.text, config=brief, on_epoch=stamp)
    stamp()
    epoch = stamps[2] - stamps[1]
    rest = max(0.0, stamps[3] - stamps[0] - 2 * epoch)
    return rest + config.epochs * epoch * _steps(part.labels_N, config) / _steps(labels_N, config)


def _steps(labels_N: Labels, config: TuneConfig) -> int:
    return ceil(len(labels_N) / config.batch_size)
