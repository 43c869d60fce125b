"""Methods and scores on packs of cached embeddings of real images; no encoder is run.

    python -m benchmarks.features --packs DIR --json OUT [--seeds 3] [--methods official,croft]

DIR holds `pacs.npz`, `pacs_shots.npz`, `open_caltech101.npz`, `open_dtd10.npz`, `imagenet80.npz`.
PACS: trained on 16 images of each class of three domains, judged on all of the fourth.
ImageNet80: trained on 16 images of each class, judged on other images, clean and corrupted.
Unknown images are for the figures alone. Writes one row for each known set, unknown set, method,
score and seed.

Axes: N images, K classes, D embedding.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.head import Head
from models.scores import Reference, fit_scores
from training.metrics import auroc, ood_miss_at_id_keep_95
from training.progress import say
from training.tune import TextSource, TuneConfig, Tuned, official_defaults, tune, zero_shot

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Row = dict[str, Any]

LOGIT_SCALE: Final = 30.0
SHOTS: Final = 16
BUDGET: Final[dict[str, Any]] = {"batch_size": 32, "epochs": 30}
"""The same for every method; the last epoch counts."""

METHODS: Final[dict[str, Callable[[int], TuneConfig] | None]] = {
    "zero-shot": None,
    "cross-entropy": lambda seed: TuneConfig(
        seed=seed, lambda_1=0.0, lambda_2=0.0, gen_steps=0, **BUDGET
    ),
    "official": lambda seed: official_defaults(seed=seed),
    "croft": lambda seed: TuneConfig(seed=seed, **BUDGET),
}
"""What each method tunes by; None: nothing is tuned."""


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
    for index, domain in enumerate(data["domain_names"]):
        rows, held_out = shots[f"shots_{domain}_{seed}"], data["domains"] == index
        yield Task(
            pack="pacs",
            seed=seed,
            text_KD=_floats(data["text_features"]),
            train_ND=features_ND[rows],
            labels_N=labels_N[rows],
            known=[({"domain": str(domain)}, features_ND[held_out], labels_N[held_out])],
            unknown={
                name: _floats(_read(packs / f"open_{name}.npz")["features"])
                for name in ("caltech101", "dtd10")
            },
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


def fit(task: Task, method: str) -> Tuned:
    """Tune by one method on the task's training images."""
    text = TextSource(features_KD=task.text_KD, logit_scale=LOGIT_SCALE, name=task.pack)
    config = METHODS[method]
    if config is None:
        return zero_shot(text)
    return tune(task.train_ND[:, None], task.labels_N, text=text, config=config(task.seed))


def judge(task: Task, method: str) -> Iterator[Row]:
    """Yield a row for every known set, unknown set and score."""
    tuned = fit(task, method)
    head = Head(tuned.image_transform_DD, tuned.prototypes_KD, tuned.logit_scale)
    scores = fit_scores(Reference(head.outputs(task.train_ND), task.labels_N))
    unknown = {name: head.outputs(x_ND) for name, x_ND in task.unknown.items()}
    unusual = {
        (name, key): score(outputs)
        for name, outputs in unknown.items()
        for key, score in scores.items()
    }
    for where, x_ND, labels_N in task.known:
        outputs = head.outputs(x_ND)
        accuracy = float(np.mean(outputs.logits_BK.argmax(axis=1) == labels_N))
        for key, score in scores.items():
            known_N = score(outputs)
            for name in unknown:
                yield {
                    "pack": task.pack,
                    "method": method,
                    "score": key,
                    "seed": task.seed,
                    **where,
                    "open": name,
                    "accuracy": accuracy,
                    "auroc": auroc(known_N, unusual[name, key]),
                    "ood_miss_at_id_keep_95": ood_miss_at_id_keep_95(known_N, unusual[name, key]),
                }


def table(rows: list[Row]) -> str:
    """Return means over seeds (and PACS's domains) as a Markdown table."""
    cells: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row["pack"], row["method"], row["score"], row.get("shift", ""), row["open"])
        cells.setdefault(key, []).append(row)
    figures = ("accuracy", "auroc", "ood_miss_at_id_keep_95")
    lines = [f"| pack | method | score | shift | open | {' | '.join(figures)} |", "|---" * 8 + "|"]
    for names, members in cells.items():
        means = [f"{mean(row[figure] for row in members):.3f}" for figure in figures]
        lines.append(f"| {' | '.join((*names, *means))} |")
    return "\n".join(lines)


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
                for method in args.methods:
                    rows += judge(task, method)
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
