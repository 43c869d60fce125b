"""Selection as a method: a head, and the score that was chosen with it.

Axes: B batch, K classes, D embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.feature_scores import fit_fused
from models.head import Head
from models.outputs import Outputs, Reference, Score
from models.scores import SCORES, fit_score, fit_scores
from training.baselines.few_shot import FewShot
from training.selection.select import Selection, plan, select
from training.tune import TuneConfig, tune


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A classifier that brings its score."""

    head: Head
    """Tuned on all training images as selection chose."""
    score: str
    """Name of the score."""
    fitted: Score
    """The score, fitted."""
    selection: Selection
    """How both were chosen."""

    def logits(self, embedding_BD: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Return logits (B, K) of raw embeddings (B, D)."""
        return self.head.logits(embedding_BD)

    def outputs(self, embedding_BD: NDArray[np.float32]) -> Outputs:
        """Return all that a score may look at, for raw embeddings (B, D), in B rows."""
        return self.head.outputs(embedding_BD)


def auto(shots: FewShot, base: TuneConfig | None = None) -> Selected:
    """Choose settings and score by the training images, and tune with them.

    Args:
        shots: what may be looked at.
        base: settings that are not chosen; by default those of `TuneConfig`.
    """
    start = base or TuneConfig(seed=shots.seed, epochs=shots.epochs)
    selection = select(shots, start, plan(shots, start))
    head = tune(
        shots.train_NVD,
        shots.labels_N,
        text=shots.text,
        config=selection.config,
        select=shots.select,
    ).head
    held_out = None if shots.select is None else head.outputs(shots.select[0])
    reference = Reference(head.outputs(shots.train_NVD[:, 0]), shots.labels_N, held_out=held_out)
    return Selected(
        head=head,
        score=selection.score,
        fitted=fit_selected(selection, reference),
        selection=selection,
    )


def fit_selected(selection: Selection, reference: Reference) -> Score:
    """Fit the chosen score.

    One of two parts is standardised by the reference's held-out images; without any, by those
    that selection held out in its rounds, since on training images both parts are far too low.
    """
    parts = SCORES[selection.score].parts
    if not parts or reference.held_out is not None:
        return fit_score(selection.score, reference)
    return fit_fused(fit_scores(reference, parts), selection.chosen.fresh())
