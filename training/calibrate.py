"""Scores of known images -> the threshold, with a promise that holds for this sample size.

Axes: n calibration images, N images.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.errors import ConfigError, DataError, TooFewImages
from models.threshold import Method, Threshold


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrateConfig:
    """What is promised about the share of known images that will be rejected."""

    method: Method = "pac"
    """``pac``: at most alpha, with confidence 1 - delta. ``conformal``: at most alpha on average
    over calibration sets, which needs fewer images and promises less."""
    alpha: float = 0.05
    """Largest share of known images that may be rejected."""
    delta: float = 0.05
    """Probability that an unlucky calibration set breaks the promise; conformal ignores it."""

    def __post_init__(self) -> None:
        """Refuse a method that does not exist and shares that mean nothing."""
        if self.method not in get_args(Method):
            raise ConfigError(
                f"`method` must be one of {', '.join(get_args(Method))}, got {self.method!r}."
            )
        for name in ("alpha", "delta"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"`{name}` must lie between 0 and 1 (0.05 is 5 %), got {getattr(self, name)}."
                )


def pac_rank(n: int, alpha: float, delta: float) -> int:
    """Return the largest r with ``BinomCDF(r - 1; n, alpha) <= delta``; 0 when there is none.

    Rejecting beyond the r-th most unusual of n scores then rejects more than ``alpha`` of known
    images with probability at most ``delta``: the rejected share is Beta(r, n + 1 - r). Wilks,
    Determination of sample sizes for setting tolerance limits, 1941.
    """
    rank = max(0, int(stats.binom.ppf(delta, n, alpha)))
    # ppf is off by one where the CDF meets delta, and wherever its search ends a step early.
    while rank < n and _cdf_is_at_most(rank, n, alpha, delta):
        rank += 1
    while rank > 0 and not _cdf_is_at_most(rank - 1, n, alpha, delta):
        rank -= 1
    return rank


def conformal_rank(n: int, alpha: float) -> int:
    """Return ``floor(alpha * (n + 1))``: known images are rejected with probability <= alpha.

    The probability is taken over the image and the calibration set together. Vovk et al.,
    Algorithmic Learning in a Random World, 2005.
    """
    return min(n, math.floor(_as_written(alpha) * (n + 1)))


def images_needed(config: CalibrateConfig) -> int:
    """Return the smallest n for which anything may be rejected at all."""
    if config.method == "conformal":
        return math.ceil(1 / _as_written(config.alpha)) - 1
    n = max(1, math.ceil(math.log(config.delta) / math.log1p(-config.alpha)) - 1)
    while not _cdf_is_at_most(0, n, config.alpha, config.delta):
        n += 1
    return n


def rank_of(n: int, config: CalibrateConfig) -> int:
    """Return the rank of the score that becomes the threshold; 0 when there is none."""
    if config.method == "conformal":
        return conformal_rank(n, config.alpha)
    return pac_rank(n, config.alpha, config.delta)


def calibrate(scores_n: NDArray[np.float64], config: CalibrateConfig) -> Threshold:
    """Choose the threshold from the scores of known images that nothing else has seen.

    Args:
        scores_n: one score an image, higher = more unusual: shape (n,).
        config: what to promise.

    Raises:
        TooFewImages: no image could be rejected without breaking the promise.
        DataError: a score is not a finite number.
    """
    n = len(scores_n)
    bad = int(np.count_nonzero(~np.isfinite(scores_n)))
    if bad:
        raise DataError(
            f"{bad} of {n} calibration scores are NaN or infinite. The encoder or the head is "
            "broken: no threshold can be trusted. Check the weights, then train again."
        )
    rank = rank_of(n, config)
    if rank == 0:
        raise TooFewImages(too_few(n, config), needed=images_needed(config))
    return Threshold(
        method=config.method,
        alpha=config.alpha,
        delta=config.delta if config.method == "pac" else None,
        n=n,
        rank=rank,
        value=float(np.sort(scores_n)[n - rank]),
    )


def too_few(n: int, config: CalibrateConfig) -> str:
    """Say how many images the promise needs, and what else can be done."""
    needed = images_needed(config)
    what = promise(_example(config))
    advice = f"Give at least {needed} images to calibrate on, or allow a larger alpha."
    if config.method == "pac":
        marginal = images_needed(CalibrateConfig(method="conformal", alpha=config.alpha))
        advice += (
            f" `--calibration conformal` needs {marginal}, but promises {percent(config.alpha)} "
            "only on average over calibration sets (a marginal promise)."
        )
    return f"{n} calibration images are too few to promise: {what}. {advice}"


def promise(threshold: Threshold) -> str:
    """Say what holds: ``at most 5 % with 95 % confidence``, or that it is marginal."""
    share = percent(threshold.alpha)
    if threshold.delta is None:
        return f"at most {share} on average over calibration sets (marginal)"
    return f"at most {share} with {percent(1 - threshold.delta)} confidence"


def expectation(threshold: Threshold) -> str:
    """Say how many known images will be refused, and what is promised."""
    return (
        f"will refuse about {percent(threshold.p_cut, digits=2)} of known images; "
        f"promise: {promise(threshold)}"
    )


def band(threshold: Threshold, images: int, *, confidence: float = 0.95) -> tuple[int, int]:
    """Return how many of fresh known images may be rejected if all is well: (least, most).

    The count is beta-binomial(images, r, n + 1 - r), which includes the luck of the calibration
    set. It stays in the band with at least this confidence.
    """
    counts_N = np.arange(images + 1)
    pmf_N = stats.betabinom.pmf(counts_N, images, threshold.rank, threshold.n + 1 - threshold.rank)
    cdf_N = np.cumsum(pmf_N)
    low, high = np.searchsorted(cdf_N, [(1 - confidence) / 2, (1 + confidence) / 2])
    return int(low), min(int(high), images)


def percent(share: float, *, digits: int = 6) -> str:
    """Write a share for people: 0.05 is ``5 %``, 0.0339 with two digits ``3.4 %``."""
    return f"{float(f'{100 * share:.{digits}g}'):g} %"


def _example(config: CalibrateConfig) -> Threshold:
    delta = config.delta if config.method == "pac" else None
    return Threshold(method=config.method, alpha=config.alpha, delta=delta, n=1, rank=1, value=0.0)


def _as_written(share: float) -> Fraction:
    """Return the decimal number that a person wrote: 0.05 is 1/20, not the nearest double."""
    return Fraction(repr(float(share)))


def _cdf_is_at_most(k: int, n: int, alpha: float, delta: float) -> bool:
    """Tell whether ``BinomCDF(k; n, alpha) <= delta``, exactly where rounding could decide it."""
    cdf = float(stats.binom.cdf(k, n, alpha))
    if not math.isclose(cdf, delta, rel_tol=1e-9):
        return cdf < delta
    # Equality needs (1 - alpha)^n to have few digits: beyond 1,000 images the two differ, and
    # calling a difference this small "more" gives up one rank at worst, never the promise.
    return n <= 1000 and _exact_cdf(k, n, _as_written(alpha)) <= _as_written(delta)


def _exact_cdf(k: int, n: int, alpha: Fraction) -> Fraction:
    terms = (math.comb(n, i) * alpha**i * (1 - alpha) ** (n - i) for i in range(k + 1))
    return sum(terms, Fraction(0))
