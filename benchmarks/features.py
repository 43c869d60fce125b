"""Methods and scores on packs of cached embeddings of real images; no encoder is run.

    python -m benchmarks.features --packs DIR --json OUT [--seeds 3] [--methods official,CRoFT]

DIR holds `pacs.npz`, `pacs_shots.npz`, `open_caltech101.npz`, `open_dtd10.npz`, `imagenet80.npz`.
PACS: trained on 16 images of each class of three domains, judged on all of the fourth.
ImageNet80: trained on 16 images of each class, judged on other images, clean and corrupted.
Unknown images are for the figures alone. Writes one row for each known set, unknown set, method,
score and seed.

Axes: N images, K classes, D embedding.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.head import Head
from models.scores import Outputs, Reference, Score, fit_scores
from training.baselines.few_shot import Classifier, FewShot, unit
from training.baselines.methods import METHODS as BASELINES
from training.baselines.tuned import CROSS_ENTROPY_ALONE
from training.metrics import auroc, ood_miss_at_id_keep_95
from training.progress import say
from training.tune import TextSource, TuneConfig, official_defaults, tune

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Row = dict[str, Any]
Unusual = dict[tuple[str, str], NDArray[np.float64]]
"""By set and score."""

RAW: Final = ("knn", "mahalanobis", "relative_mahalanobis")
"""Scores that no tuning moves."""

LOGIT_SCALE: Final = 30.0
SHOTS: Final = 16


def _tuned(shots: FewShot, config: TuneConfig) -> Head:
    return tune(shots.train_NVD, shots.labels_N, text=shots.text, config=config).head


METHODS: Final[dict[str, Callable[[FewShot], Classifier]]] = {
    # The packs have one set of text features and no text encoder.
    **{name: m for name, m in BASELINES.items() if name not in ("zero-shot ensemble", "CoOp")},
    "cross-entropy": lambda shots: _tuned(
        shots,
        TuneConfig(seed=shots.seed, batch_size=32, **CROSS_ENTROPY_ALONE),
    ),
    "official": lambda shots: _tuned(shots, official_defaults(seed=shots.seed)),
    "CRoFT": lambda shots: _tuned(shots, TuneConfig(seed=shots.seed, batch_size=32)),
}
"""30 epochs of batches of 32 for all that train by steps and leave it open; the last one counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One draw: what to train on, and what to judge by."""

    pack: str
    seed: int
    text_KD: Floats
    train_ND: Floats
    labels_N: Labels
    known: list[tuple[dict[str, str], Floats, Labels]]
    """Which known images (`domain` or `shift`), their embeddings and labels."""
    unknown: dict[str, Floats]


def pacs(packs: Path, seed: int) -> Iterator[Task]:
    """Leave out each domain in turn."""
    data, shots = _read(packs / "pacs.npz"), _read(packs / "pacs_shots.npz")
    features_ND, labels_N = _floats(data["features"]), data["labels"].astype(np.int64)
    unknown = {
        name: _floats(_read(packs / f"open_{name}.npz")["features"])
        for name in ("caltech101", "dtd10")
    }
    for index, domain in enumerate(data["domain_names"]):
        rows, held_out = shots[f"shots_{domain}_{seed}"], data["domains"] == index
        yield Task(
            pack="pacs",
            seed=seed,
            text_KD=_floats(data["text_features"]),
            train_ND=features_ND[rows],
            labels_N=labels_N[rows],
            known=[({"domain": str(domain)}, features_ND[held_out], labels_N[held_out])],
            unknown=unknown,
        )


def imagenet80(packs: Path, seed: int) -> Iterator[Task]:
    """Draw the training images by the seed."""
    data = _read(packs / "imagenet80.npz")
    labels_N = data["train_labels"].astype(np.int64)
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(labels_N == k), SHOTS, replace=False)
            for k in range(len(data["class_names"]))
        ]
    )
    test_N = data["test_labels"].astype(np.int64)
    shifts = {"clean": "features", "noise": "noise", "blur": "blur", "poster": "poster"}
    yield Task(
        pack="imagenet80",
        seed=seed,
        text_KD=_floats(data["text_features"]),
        train_ND=_floats(data["train_features"])[rows],
        labels_N=labels_N[rows],
        known=[
            ({"shift": shift}, _floats(data[f"test_{key}"]), test_N)
            for shift, key in shifts.items()
        ],
        unknown={"imagenet120": _floats(data["open_features"])},
    )


PACKS: Final = {"pacs": pacs, "imagenet80": imagenet80}


def judge(task: Task, methods: Sequence[str]) -> Iterator[Row]:
    """Yield a row for every method, known set, unknown set and score."""
    text = TextSource(features_KD=task.text_KD, logit_scale=LOGIT_SCALE, name=task.pack)
    shots = FewShot(
        train_NVD=task.train_ND[:, None], labels_N=task.labels_N, text=text, seed=task.seed
    )
    by_image: Unusual = {}
    for method in methods:
        for row in _judge_one(task, METHODS[method](shots), by_image):
            yield {"pack": task.pack, "method": method, "seed": task.seed, **row}


def _judge_one(task: Task, classifier: Classifier, by_image: Unusual) -> Iterator[Row]:
    scores = fit_scores(Reference(_outputs(classifier, task.train_ND), task.labels_N))
    unknown = {name: _outputs(classifier, x_ND) for name, x_ND in task.unknown.items()}
    unusual: Unusual = {}
    for name, outputs in unknown.items():
        unusual |= _unusual(name, outputs, scores, by_image)
    for where, x_ND, labels_N in task.known:
        outputs, known = _outputs(classifier, x_ND), str(where)
        accuracy = float(np.mean(outputs.logits_BK.argmax(axis=1) == labels_N))
        unusual |= _unusual(known, outputs, scores, by_image)
        for name, key in product(unknown, scores):
            pair = unusual[known, key], unusual[name, key]
            yield {
                "score": key,
                **where,
                "open": name,
                "accuracy": accuracy,
                "auroc": auroc(*pair),
                "ood_miss_at_id_keep_95": ood_miss_at_id_keep_95(*pair),
            }


def _outputs(classifier: Classifier, x_ND: Floats) -> Outputs:
    if isinstance(classifier, Head):
        return classifier.outputs(x_ND)
    unit_ND = unit(x_ND)
    return Outputs(classifier.logits(x_ND), unit_ND, unit_ND, LOGIT_SCALE)


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


def table(rows: Sequence[Row]) -> str:
    """Return means over seeds (and PACS's domains) ± the deviation of the seeds' own means."""
    cells: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row["pack"], row["method"], row["score"], row.get("shift", ""), row["open"])
        cells.setdefault(key, []).append(row)
    figures = ("accuracy", "auroc", "ood_miss_at_id_keep_95")
    lines = [f"| pack | method | score | shift | open | {' | '.join(figures)} |", "|---" * 8 + "|"]
    for names, members in cells.items():
        cell = [_spread(members, figure) for figure in figures]
        lines.append(f"| {' | '.join((*names, *cell))} |")
    return "\n".join(lines)


def _spread(rows: Sequence[Row], figure: str) -> str:
    seeds = sorted({row["seed"] for row in rows})
    means = [mean(row[figure] for row in rows if row["seed"] == seed) for seed in seeds]
    return f"{mean(means):.3f} ± {pstdev(means):.3f}"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    args = parser.parse_args()
    rows: list[Row] = []
    for seed in range(1, args.seeds + 1):
        for load in PACKS.values():
            for task in load(args.packs, seed):
                rows += judge(task, args.methods)
            say(f"seed {seed}: {load.__name__} done")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(rows, indent=1) + "\n")
    say(table(rows))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _floats(array: NDArray[Any]) -> Floats:
    return array.astype(np.float32)


if __name__ == "__main__":
    main()
