"""Embedding -> answer: the one decision path, for the service and for evaluation.

Axes: B batch, K classes, D embedding.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.scores import energy
from models.threshold import p_value


@dataclass(frozen=True, slots=True)
class Candidate:
    """A class, and its probability if the image shows one of the known classes at all."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one image."""

    label: str | None
    """The most probable class; None when rejected."""
    rejected: bool
    """Whether the score is larger than the threshold."""
    energy: float
    """Free energy, ``-logsumexp(logits)``; higher = more unusual."""
    score: float
    """The deciding score; the energy itself by default."""
    p_value: float
    """Share of calibration images at least as unusual, the image itself counted in."""
    candidates: tuple[Candidate, ...]
    """The most probable classes, best first."""


def decide(bundle: Bundle, embedding_D: NDArray[np.float32], *, top_k: int = 5) -> Decision:
    """Classify or reject one image.

    Args:
        bundle: head, score, threshold and calibration scores.
        embedding_D: the encoder's raw output for the image, shape (D,).
        top_k: how many candidates to name.

    Raises:
        ArithmeticError: the score is NaN or infinite, which no threshold can judge.
    """
    if bundle.manifest.score.name == "energy":  # which needs no more than the logits: half the time
        logits_1K = bundle.head.logits(embedding_D[None])
        free_energy = score = float(energy(logits_1K)[0])
    else:
        outputs = bundle.head.outputs(embedding_D[None])
        logits_1K = outputs.logits_BK
        free_energy, score = float(energy(logits_1K)[0]), float(bundle.score(outputs)[0])
    if not math.isfinite(score):
        raise ArithmeticError(f"the score {bundle.manifest.score.name} of the image is {score}")
    # Softmax is exp(logits - logsumexp), and the energy is minus that logsumexp.
    probabilities_K = np.exp(logits_1K[0] + free_energy)
    candidates = _candidates(bundle.manifest.labels, probabilities_K, top_k)
    rejected = bundle.threshold.rejects(score)
    return Decision(
        label=None if rejected else candidates[0].label,
        rejected=rejected,
        energy=free_energy,
        score=score,
        p_value=p_value(bundle.calibration_scores_n, score),
        candidates=candidates,
    )


def _candidates(
    labels: list[str], probabilities_K: NDArray[np.float64], top_k: int
) -> tuple[Candidate, ...]:
    best_first = np.argsort(-probabilities_K, kind="stable")[: max(1, top_k)]
    return tuple(Candidate(labels[i], int(i), float(probabilities_K[i])) for i in best_first)
