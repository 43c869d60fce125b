"""How well known and unknown images are told apart, and how well the known are classified.

Every score is higher for more unusual, and unknown images are the positive class. The number that
papers call FPR95 is two different numbers; here each has the name of what it counts.

Axes: N known images, M unknown images, K classes, R resamples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from models.errors import DataError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` of ``of``, with a Clopper-Pearson interval at 95 % confidence."""

    count: int
    of: int
    rate: float
    low: float
    high: float


def rate(flags_N: Flags) -> Rate:
    """Return the share of true flags, with its interval.

    Raises:
        DataError: there is no flag: a share of nothing is not zero.
    """
    count, of = int(np.count_nonzero(flags_N)), len(flags_N)
    low, high = rate_interval(count, of)
    return Rate(count, of, count / of, low, high)


def rate_interval(count: int, of: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a share. Clopper & Pearson 1934."""
    if of < 1:
        raise DataError("A rate needs at least one image, got none.")
    interval = stats.binomtest(count, of).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def student_half(values_S: Floats, *, confidence: float = 0.95) -> float:
    """Return half the width of the t-interval of a mean; of one value nothing is known: 0.

    Student, The Probable Error of a Mean, 1908.
    """
    count = len(values_S)
    if count < 2:
        return 0.0
    quantile = float(stats.t.ppf((1 + confidence) / 2, count - 1))
    return quantile * float(np.std(values_S, ddof=1)) / math.sqrt(count)


def auroc(known_N: Floats, unknown_M: Floats) -> float:
    """Return the probability that an unknown image scores above a known one; ties count half."""
    return float(roc_auc_score(*_labelled(known_N, unknown_M)))


def auroc_interval(
    known_N: Floats,
    unknown_M: Floats,
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 500,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of ``auroc``; both sets are resampled.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    rng = np.random.default_rng(seed)
    values, places = np.unique(np.concatenate([known_N, unknown_M]), return_inverse=True)
    known_at_N, unknown_at_M = places[: len(known_N)], places[len(known_N) :]

    def resample() -> float:
        known, unknown = (
            np.bincount(at[rng.integers(len(at), size=len(at))], minlength=len(values))
            for at in (known_at_N, unknown_at_M)
        )
        below = np.cumsum(known) - known / 2  # ties count half
        return float(unknown @ below) / (len(known_N) * len(unknown_M))

    areas_R = [resample() for _ in range(resamples)]
    low, high = np.quantile(areas_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def aupr_unknown(known_N: Floats, unknown_M: Floats) -> float:
    """Return the average precision of finding unknown images, the most unusual first."""
    return float(average_precision_score(*_labelled(known_N, unknown_M)))


def aupr_known(known_N: Floats, unknown_M: Floats) -> float:
    """Return the average precision of finding known images, the least unusual first."""
    return float(average_precision_score(*_labelled(-unknown_M, -known_N)))


def ood_miss_at_id_keep_95(known_N: Floats, unknown_M: Floats) -> float:
    """Return the share of unknown images that pass where 95 % of the known ones are kept.

    The FPR95 of MCM, LoCoOp, NegLabel and CRoFT.
    """
    threshold = np.sort(known_N)[_at_least_95_percent(len(known_N)) - 1]
    return float(np.mean(unknown_M <= threshold))


def id_reject_at_ood_catch_95(known_N: Floats, unknown_M: Floats) -> float:
    """Return the share of known images that are lost where 95 % of the unknown are caught.

    The FPR95 of OpenOOD and pytorch-ood.
    """
    threshold = np.sort(unknown_M)[::-1][_at_least_95_percent(len(unknown_M)) - 1]
    return float(np.mean(known_N >= threshold))


def roc(known_N: Floats, unknown_M: Floats) -> tuple[Floats, Floats]:
    """Return the ROC curve: shares of known and of unknown images rejected, by threshold."""
    known_share, unknown_share, _ = roc_curve(*_labelled(known_N, unknown_M))
    return known_share, unknown_share


def ece(confidence_N: Floats, correct_N: Flags, *, bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal width. Guo et al., ICML 2017."""
    edges = np.linspace(0, 1, bins + 1)
    # Bins are (low, high], the first one [0, high].
    bin_N = np.clip(np.searchsorted(edges, confidence_N, side="left") - 1, 0, bins - 1)
    gaps = np.bincount(bin_N, weights=confidence_N - correct_N, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence_N))


def confusion(
    truth: Sequence[str], answers: Sequence[str], *, rows: Sequence[str], columns: Sequence[str]
) -> NDArray[np.int64]:
    """Count how often each truth (row) got each answer (column)."""
    row, column = ({name: i for i, name in enumerate(names)} for names in (rows, columns))
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    np.add.at(counts, ([row[t] for t in truth], [column[a] for a in answers]), 1)
    return counts


def _labelled(negative_N: Floats, positive_M: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return (1 for positive, score) of both sets together."""
    if not (len(negative_N) and len(positive_M)):
        raise DataError(
            "Telling two sets apart needs images in both, got "
            f"{len(negative_N)} and {len(positive_M)}."
        )
    is_positive = np.repeat([0, 1], [len(negative_N), len(positive_M)])
    return is_positive, np.concatenate([negative_N, positive_M])


def _at_least_95_percent(count: int) -> int:
    return math.ceil(95 * count / 100)
