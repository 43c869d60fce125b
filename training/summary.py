"""The figures of an evaluation: plain JSON, each rate with its interval.

Axes: N images.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import metrics
from training.calibrate import band, expectation
from training.evaluate import KNOWN, SHIFTED, Evaluation, Row

Figures = dict[str, Any]
Floats = NDArray[np.float64]

_SEED = 0  # of the bootstrap: a report written twice is the same report


def summarize(evaluation: Evaluation) -> Figures:
    """Return the figures of an evaluation.

    ``known`` and ``shifted`` hold accuracy (of all images, and of the accepted ones), refusal and
    ECE; ``domains`` the same by domain; ``unknown`` how many images of each set were caught at the
    threshold, and how well the score tells them from known and from shifted images. There,
    ``all`` compares with every known image and ``correct`` only with those classified correctly,
    as some papers do. ``scores`` holds what each score that was calibrated would refuse, catch and
    tell apart, at its own threshold: shares alone, of all images.
    """
    known, shifted = evaluation.of(KNOWN), evaluation.of(SHIFTED)
    return {
        "promise": {
            "method": evaluation.threshold.method,
            "marginal": evaluation.threshold.method == "conformal",
            "alpha": evaluation.threshold.alpha,
            "delta": evaluation.threshold.delta,
            "calibration_images": evaluation.threshold.n,
            "expected_refusal": evaluation.threshold.p_cut,
            "text": expectation(evaluation.threshold),
        },
        KNOWN: (
            _known_figures(known) | {"refusal_band": _band(evaluation, known)} if known else None
        ),
        SHIFTED: _known_figures(shifted) if shifted else None,
        "domains": _by_domain(known, calibrated=True) | _by_domain(shifted, calibrated=False),
        "unknown": {
            name: _unknown_figures(evaluation.of(name), known, shifted)
            for name in evaluation.unknown_sets
        },
        "scores": {name: _score_figures(evaluation, name) for name in evaluation.thresholds},
    }


def scores(rows: Sequence[Row]) -> Floats:
    """Return the deciding scores, shape (N,)."""
    return np.array([row.decision.score for row in rows], dtype=np.float64)


def _known_figures(rows: Sequence[Row]) -> Figures:
    correct_N = np.array([row.correct for row in rows])
    rejected_N = np.array([row.decision.rejected for row in rows])
    best_N = np.array([row.decision.candidates[0].probability for row in rows])
    accepted_N = ~rejected_N
    return {
        "images": len(rows),
        "accuracy": asdict(metrics.rate(correct_N)),
        "accuracy_of_accepted": (
            asdict(metrics.rate(correct_N[accepted_N])) if accepted_N.any() else None
        ),
        "refused": asdict(metrics.rate(rejected_N)),
        "ece": metrics.ece(best_N, correct_N),
    }


def _band(evaluation: Evaluation, known: Sequence[Row]) -> Figures:
    refused = sum(row.decision.rejected for row in known)
    low, high = band(evaluation.threshold, len(known))
    return {
        "confidence": 0.95,
        "least": low,
        "most": high,
        "refused": refused,
        "inside": low <= refused <= high,
    }


def _by_domain(rows: Sequence[Row], *, calibrated: bool) -> dict[str, Figures]:
    domains = sorted({row.domain for row in rows if row.domain is not None})
    return {
        domain: {"calibrated": calibrated}
        | _known_figures([row for row in rows if row.domain == domain])
        for domain in domains
    }


def _unknown_figures(rows: Sequence[Row], known: Sequence[Row], shifted: Sequence[Row]) -> Figures:
    rejected_N = np.array([row.decision.rejected for row in rows])
    return {
        "images": len(rows),
        "caught": asdict(metrics.rate(rejected_N)),
        "against_known": _against(known, rows) if known else None,
        "against_shifted": _against(shifted, rows) if shifted else None,
    }


def _against(known: Sequence[Row], unknown: Sequence[Row]) -> Figures:
    correct = [row for row in known if row.correct]
    return {
        "all": _separation(scores(known), scores(unknown)),
        "correct": _separation(scores(correct), scores(unknown)) if correct else None,
    }


def _score_figures(evaluation: Evaluation, score: str) -> Figures:
    threshold = evaluation.thresholds[score]

    def values(name: str) -> Floats:
        return np.array([row.scores[score] for row in evaluation.of(name)], dtype=np.float64)

    known_N, shifted_N = values(KNOWN), values(SHIFTED)
    return {
        "threshold": threshold,
        "refused": {
            name: float(np.mean(values_N > threshold)) if len(values_N) else None
            for name, values_N in ((KNOWN, known_N), (SHIFTED, shifted_N))
        },
        "unknown": {
            name: {
                "caught": float(np.mean(values(name) > threshold)),
                "against_known": _told_apart(known_N, values(name)) if len(known_N) else None,
                "against_shifted": _told_apart(shifted_N, values(name)) if len(shifted_N) else None,
            }
            for name in evaluation.unknown_sets
        },
    }


def _told_apart(known_N: Floats, unknown_N: Floats) -> Figures:
    return {
        "auroc": metrics.auroc(known_N, unknown_N),
        "ood_miss_at_id_keep_95": metrics.ood_miss_at_id_keep_95(known_N, unknown_N),
        "id_reject_at_ood_catch_95": metrics.id_reject_at_ood_catch_95(known_N, unknown_N),
    }


def _separation(known_N: Floats, unknown_N: Floats) -> Figures:
    low, high = metrics.auroc_interval(known_N, unknown_N, seed=_SEED)
    return _told_apart(known_N, unknown_N) | {
        "auroc_low": low,
        "auroc_high": high,
        "aupr_unknown": metrics.aupr_unknown(known_N, unknown_N),
        "aupr_known": metrics.aupr_known(known_N, unknown_N),
    }
