"""Every method and score on one draw of embedded images -> rows of figures.

Axes: N images, K classes, D embedding.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.head import Head
from models.scores import RAW, SCORES, STANDARD, Outputs, Reference, Score, fit_scores
from training.baselines.few_shot import Classifier, FewShot, unit
from training.metrics import auroc, id_reject_at_ood_catch_95, ood_miss_at_id_keep_95
from training.selection.auto import Selected
from training.tune import Floats, Labels

Row = dict[str, Any]
"""One method, known set, unknown set and score of one trial and seed, with its figures."""
Method = Callable[[FewShot], Classifier]
Unusual = dict[tuple[str, str], NDArray[np.float64]]
"""By set and score."""

COMPARED: Final = tuple(name for name in STANDARD if SCORES[name].needs != "negative names")
"""Scores that are compared unless others are asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One draw, embedded: what to train on, and what to judge by."""

    name: str
    """Of the trial."""
    shots: FewShot
    """What the methods look at."""
    known: Mapping[str, tuple[Floats, Labels]]
    """Embeddings (N, D) and labels (N,) of known classes, by set."""
    unknown: Mapping[str, Floats] = field(default_factory=dict)
    """Embeddings (N, D) of anything else, by set; without any, accuracies are all there is."""


def judge(
    task: Task,
    methods: Mapping[str, Method],
    *,
    scores: Sequence[str] = COMPARED,
    on_method: Callable[[], None] | None = None,
) -> Iterator[Row]:
    """Yield a row for every method, known set, unknown set and score.

    A row holds ``trial``, ``method``, ``seed``, ``known``, ``accuracy`` and its standard error
    ``accuracy_se``; where the task has unknown sets also ``unknown``, ``score``, ``auroc``,
    ``auroc_se`` and FPR95 under both of its meanings.

    A method that brings its own score is judged under no other. Its rows hold ``selected`` too:
    the score's name, or None where there was nothing to select by and a default stands in.

    Args:
        task: the draw.
        methods: by the name that rows call them.
        scores: names of scores that need no negative names.
        on_method: called after each method.
    """
    by_image: Unusual = {}
    for name, method in methods.items():
        for row in _judge_one(task, method(task.shots), scores, by_image):
            yield {"trial": task.name, "method": name, "seed": task.shots.seed, **row}
        if on_method is not None:
            on_method()


def _judge_one(
    task: Task, classifier: Classifier, names: Sequence[str], by_image: Unusual
) -> Iterator[Row]:
    scale = task.shots.text.logit_scale
    scores = _fit(task.shots, classifier, names) if task.unknown else {}
    own = _selected(classifier) if isinstance(classifier, Selected) else {}
    unusual: Unusual = {}
    for name, x_ND in task.unknown.items():
        outputs = _outputs(classifier, x_ND, scale)
        unusual |= _unusual(f"unknown {name}", outputs, scores, by_image)
    for name, (x_ND, labels_N) in task.known.items():
        outputs = _outputs(classifier, x_ND, scale)
        unusual |= _unusual(f"known {name}", outputs, scores, by_image)
        right_N = outputs.logits_BK.argmax(axis=1) == labels_N
        right = {"accuracy": float(np.mean(right_N)), "accuracy_se": share_se(right_N)}
        row = {"known": name, **right, **own}
        if not task.unknown:
            yield row
        for other, key in product(task.unknown, scores):
            pair = unusual[f"known {name}", key], unusual[f"unknown {other}", key]
            yield row | {"unknown": other, "score": key} | _apart(*pair)


def _selected(classifier: Selected) -> Row:
    return {"selected": classifier.score if classifier.selection.reason is None else None}


def _fit(shots: FewShot, classifier: Classifier, names: Sequence[str]) -> dict[str, Score]:
    """Fit on plain training images; those to select by tell how scores really spread."""
    if isinstance(classifier, Selected):
        return {classifier.score: classifier.fitted}
    scale = shots.text.logit_scale
    plain = _outputs(classifier, shots.train_NVD[:, 0], scale)
    held_out = None
    if shots.select is not None and len(shots.select[1]):
        held_out = _outputs(classifier, shots.select[0], scale)
    return fit_scores(Reference(plain, shots.labels_N, held_out=held_out), names)


def _outputs(classifier: Classifier, x_ND: Floats, logit_scale: float) -> Outputs:
    if isinstance(classifier, Head | Selected):
        return classifier.outputs(x_ND)
    unit_ND = unit(x_ND)
    return Outputs(classifier.logits(x_ND), unit_ND, unit_ND, logit_scale)


def _unusual(
    name: str, outputs: Outputs, scores: Mapping[str, Score], by_image: Unusual
) -> Unusual:
    """Return each score of a set; what looks at raw embeddings alone is kept for other methods."""
    found = {}
    for key, score in scores.items():
        known = by_image.get((name, key))
        found[name, key] = score(outputs) if known is None else known
        if key in RAW:
            by_image[name, key] = found[name, key]
    return found


def _apart(known_N: NDArray[np.float64], unknown_M: NDArray[np.float64]) -> Row:
    return {
        "auroc": auroc(known_N, unknown_M),
        "auroc_se": auroc_se(known_N, unknown_M),
        "ood_miss_at_id_keep_95": ood_miss_at_id_keep_95(known_N, unknown_M),
        "id_reject_at_ood_catch_95": id_reject_at_ood_catch_95(known_N, unknown_M),
    }


def share_se(flags_N: NDArray[np.bool_]) -> float:
    """Return the standard error of the share of true flags, never less than `_least_se`."""
    return math.hypot(float(flags_N.std()) / math.sqrt(len(flags_N)), _least_se(len(flags_N)))


def auroc_se(known_N: NDArray[np.float64], unknown_M: NDArray[np.float64]) -> float:
    """Return the standard error of the AUROC over images of both sets, at least `_least_se`.

    DeLong, DeLong & Clarke-Pearson, Biometrics 1988: the spread of the share of the other set
    that an image is on the right side of, ties counting half.
    """
    above_N = 1 - _share_below(unknown_M, known_N)
    below_M = _share_below(known_N, unknown_M)
    variance = above_N.var() / len(known_N) + below_M.var() / len(unknown_M)
    return math.hypot(math.sqrt(variance), _least_se(min(len(known_N), len(unknown_M))))


def _share_below(
    others_M: NDArray[np.float64], values_N: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what share of the others is below each value, (N,); ties count half."""
    sorted_M = np.sort(others_M)
    ends = (np.searchsorted(sorted_M, values_N, side=side) for side in ("left", "right"))
    return np.asarray(sum(ends) / (2 * len(others_M)), dtype=np.float64)


def _least_se(count: int) -> float:
    """Return what keeps a figure of 1.000 from looking certain.

    Without one mistake in n images the rate of mistakes is below 3 / n at 95 % (the rule of
    three: Hanley & Lippman-Hand, JAMA 1983), which is two standard errors.
    """
    return 1.5 / count
