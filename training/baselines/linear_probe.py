"""Linear probe: logistic regression on image features, without the text.

Axes: N images, B batch, K classes, D embedding.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from models.errors import DataError
from training.baselines.few_shot import FewShot, accuracy, unit
from training.tune import Labels

_DECADES: Final = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)
_STEPS: Final = (1.0, 0.5, 0.25, 0.125)
_FOLDS: Final = 5
_UNSEARCHED: Final = 1.0
"""C where one image a class leaves nothing to choose it by."""

Wide = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearProbe:
    """``logits = x weights^T + bias`` for x of unit length."""

    weights_KD: Wide
    bias_K: Wide
    c: float
    """The inverse of the penalty's weight that was chosen."""

    def logits(self, embedding_BD: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return logits (B, K)."""
        return unit(embedding_BD) @ self.weights_KD.T + self.bias_K


def linear_probe(shots: FewShot) -> LinearProbe:
    """Fit L2-penalised logistic regression by L-BFGS (Radford et al., ICML 2021, appendix A.3).

    On the plain view of each image, as there. C is searched as there, coarse to fine, on the
    images to select by; without any by cross-validation over the training images. Departure:
    features are of unit length, so that C means the same for every encoder.

    Raises:
        DataError: a class has no training image, or there is only one class.
    """
    classes = len(shots.text.features_KD)
    x_ND, labels_N = unit(shots.train_NVD[:, 0]), shots.labels_N
    missing = sorted(set(range(classes)) - set(labels_N.tolist()))
    if missing or classes < 2:
        raise DataError(
            "The linear probe needs two classes or more, and an image of each; without images: "
            f"{missing}, of {classes}."
        )
    return _fit(x_ND, labels_N, _choose(shots, x_ND))


def search(judge: Callable[[float], float]) -> float:
    """Return the C that is judged best: CLIP's search, to an eighth of a decade.

    Every second decade of 1e-6 to 1e6, then to either side of the best in halving steps. Of
    equals the stronger penalty wins among the decades, and the middle afterwards.
    """
    judged = {exponent: judge(10**exponent) for exponent in _DECADES}
    centre = max(_DECADES, key=judged.__getitem__)
    for step in _STEPS:
        around = (centre, centre - step, centre + step)
        judged |= {e: judge(10**e) for e in around if e not in judged}
        centre = max(around, key=judged.__getitem__)
    return float(10**centre)


def _choose(shots: FewShot, x_ND: Wide) -> float:
    labels_N = shots.labels_N
    if shots.select is not None and len(shots.select[1]):
        select_ND, select_N = shots.select
        return search(lambda c: accuracy(_fit(x_ND, labels_N, c).logits(select_ND), select_N))
    folds = min(_FOLDS, int(np.bincount(labels_N).min()))
    if folds < 2:
        return _UNSEARCHED
    splitter = StratifiedKFold(folds, shuffle=True, random_state=shots.seed)
    splits = list(splitter.split(x_ND, labels_N))
    return search(
        lambda c: mean(
            accuracy(
                _fit(x_ND[train], labels_N[train], c).logits(x_ND[rest]),
                labels_N[rest],
            )
            for train, rest in splits
        )
    )


def _fit(x_ND: Wide, labels_N: Labels, c: float) -> LinearProbe:
    model = LogisticRegression(C=c, max_iter=1000)
    with warnings.catch_warnings():
        # Without a penalty to speak of there is no optimum: 1000 steps, as in the paper, are it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x_ND, labels_N)
    weights, bias = model.coef_, model.intercept_
    if len(weights) == 1:  # two classes share one row: the log-odds of the second
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return LinearProbe(weights_KD=weights, bias_K=bias, c=c)
