"""The decision rule and its p-value. Choosing the rank is ``training.calibrate``'s.

Axis: n calibration images.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError

Method = Literal["pac", "conformal"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """The rank-th most unusual of n calibration scores: beyond it an image is rejected."""

    method: Method
    """``pac``: at most alpha with confidence 1 - delta. ``conformal``: alpha on average only."""
    alpha: float
    """Largest share of known images that may be rejected."""
    delta: float | None
    """Probability that the promise is broken by an unlucky calibration set; None if conformal."""
    n: int
    """How many calibration images."""
    rank: int
    """Which of their scores, the most unusual being the first."""
    value: float
    """That score. An image is rejected when its score is larger."""

    def __post_init__(self) -> None:
        """Refuse what no calibration can have given."""
        problems = {
            "method": self.method not in ("pac", "conformal"),
            "alpha": not 0 < self.alpha < 1,
            "delta": (self.delta is None) != (self.method == "conformal")
            or not (self.delta is None or 0 < self.delta < 1),
            "rank": not 1 <= self.rank <= self.n,
            "value": not np.isfinite(self.value),
        }
        for field, wrong in problems.items():
            if wrong:
                raise ConfigError(
                    f"threshold field `{field}` cannot be {getattr(self, field)!r} (method "
                    f"{self.method!r}, n={self.n}, rank={self.rank}, alpha={self.alpha})."
                )

    @property
    def p_cut(self) -> float:
        """Rejected exactly when the p-value is at most this: ``rank / (n + 1)``.

        It is also the share of known images that will be rejected on average.
        """
        return self.rank / (self.n + 1)

    def rejects(self, score: float) -> bool:
        """Tell whether an image with this score is rejected."""
        return score > self.value


def p_value(descending_n: Floats, score: float) -> float:
    """Return the conformal p-value ``(1 + #{calibration scores >= score}) / (n + 1)``.

    Vovk et al., Algorithmic Learning in a Random World, 2005. On known images that are
    exchangeable with the calibration set, ``P(p <= t) <= t``.

    Args:
        descending_n: the calibration scores, most unusual first.
        score: the one to judge.
    """
    n = len(descending_n)
    at_least = n - bisect_left(descending_n[::-1], score)
    return (1 + at_least) / (n + 1)
