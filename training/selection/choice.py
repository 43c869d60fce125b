"""The rule: accuracy and the worst case over all surrogates count alike.

Axes: R rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.metrics import student_half
from training.selection.judge import CANDIDATES, Judgement
from training.tune import TuneConfig


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over rounds and its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values_R: NDArray[np.float64]) -> "Figure":
        """Return the t-interval. Rounds share images: it is too narrow."""
        mean, half = float(values_R.mean()), student_half(values_R)
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One setting over all rounds."""

    config: TuneConfig
    rounds: Sequence[Judgement]

    @property
    def accuracies_R(self) -> NDArray[np.float64]:
        """Accuracy of each round, (R,)."""
        return np.array([judgement.accuracy for judgement in self.rounds])

    def aurocs(self, score: str) -> dict[str, Figure]:
        """Return the AUROC of a score by kind of surrogate, over the rounds that have it."""
        kinds = dict.fromkeys(kind for judgement in self.rounds for kind in judgement.auroc)
        return {
            kind: Figure.of(
                np.array([j.auroc[kind][score] for j in self.rounds if kind in j.auroc])
            )
            for kind in kinds
        }

    def worst(self, score: str) -> float:
        """Return the smallest mean AUROC of a score over the kinds of surrogate."""
        return min(figure.mean for figure in self.aurocs(score).values())

    @cached_property
    def best_score(self) -> str:
        """The score whose worst case is best; of equals the first."""
        return max(CANDIDATES, key=self.worst)

    @property
    def merit(self) -> float:
        """Mean accuracy plus the worst case of the best score: a point of one is one of the other.

        Accuracy first and AUROC among equals would give up ten points of AUROC for two tenths of
        accuracy, which is less than its noise.
        """
        return float(self.accuracies_R.mean()) + self.worst(self.best_score)

    def fresh(self) -> Mapping[str, NDArray[np.float64]]:
        """Return single scores of all held-out images of all rounds."""
        return {
            name: np.concatenate([judgement.fresh[name] for judgement in self.rounds])
            for name in self.rounds[0].fresh
        }


def choose(verdicts: Sequence[Verdict]) -> tuple[Verdict, str]:
    """Return the setting and score of the largest `Verdict.merit`; of equals the first."""
    chosen = max(verdicts, key=lambda verdict: verdict.merit)
    return chosen, chosen.best_score
