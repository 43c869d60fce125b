"""Methods and scores on packs of cached embeddings of real images; no encoder is run.

    python -m benchmarks.features --packs DIR --json OUT [--seeds 3] [--methods official,CRoFT]

DIR holds `pacs.npz`, `pacs_shots.npz`, `open_caltech101.npz`, `open_dtd10.npz`, `imagenet80.npz`.
PACS: trained on 16 images of each class of three domains, judged on all of the fourth.
ImageNet80: trained on 16 images of each class, judged on other images, clean and corrupted.
Unknown images are for the figures alone. Writes one row for each known set, unknown set, method,
score and seed.

Axes: N images, D embedding.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.head import Head
from training.baselines.few_shot import FewShot
from training.baselines.methods import METHODS as BASELINES
from training.baselines.tuned import CROSS_ENTROPY_ALONE
from training.comparison.judge import Method, Row, Task, judge
from training.comparison.summary import distinct
from training.comparison.table import markdown_table
from training.metrics import student_half
from training.progress import say
from training.selection.auto import auto
from training.tune import Floats, Labels, TextSource, TuneConfig, official_defaults, tune

Arrays = Mapping[str, NDArray[Any]]

LOGIT_SCALE: Final = 30.0
SHOTS: Final = 16


def _tuned(shots: FewShot, config: TuneConfig) -> Head:
    return tune(shots.train_NVD, shots.labels_N, text=shots.text, config=config).head


METHODS: Final[dict[str, Method]] = {
    # The packs have one set of text features and no text encoder.
    **{name: m for name, m in BASELINES.items() if name not in ("zero-shot ensemble", "CoOp")},
    "cross-entropy": lambda shots: _tuned(
        shots,
        TuneConfig(seed=shots.seed, batch_size=32, **CROSS_ENTROPY_ALONE),
    ),
    "official": lambda shots: _tuned(shots, official_defaults(seed=shots.seed)),
    "CRoFT": lambda shots: _tuned(shots, TuneConfig(seed=shots.seed, batch_size=32)),
    "auto": lambda shots: auto(shots, TuneConfig(seed=shots.seed, batch_size=32)),
}
"""30 epochs of batches of 32 for all that train by steps and leave it open; the last one counts."""


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
            name="pacs",
            shots=_few_shot(data, features_ND[rows], labels_N[rows], seed, data["domains"][rows]),
            known={str(domain): (features_ND[held_out], labels_N[held_out])},
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
        name="imagenet80",
        shots=_few_shot(data, _floats(data["train_features"])[rows], labels_N[rows], seed),
        known={shift: (_floats(data[f"test_{key}"]), test_N) for shift, key in shifts.items()},
        unknown={"imagenet120": _floats(data["open_features"])},
    )


PACKS: Final = {"pacs": pacs, "imagenet80": imagenet80}
KNOWN: Final = {"pacs": "domain", "imagenet80": "shift"}
"""What the known sets of a pack differ in."""


def _few_shot(
    data: Arrays,
    train_ND: Floats,
    labels_N: Labels,
    seed: int,
    domains_N: Labels | None = None,
) -> FewShot:
    text = TextSource(
        features_KD=_floats(data["text_features"]), logit_scale=LOGIT_SCALE, name="packs"
    )
    return FewShot(
        train_NVD=train_ND[:, None],
        labels_N=labels_N,
        text=text,
        domains_N=domains_N,
        seed=seed,
    )


def row_of(judged: Row) -> Row:
    """Return a row of the file from what was judged."""
    pack = judged["trial"]
    same = ("accuracy", "auroc", "ood_miss_at_id_keep_95")
    return {
        "pack": pack,
        "method": judged["method"],
        "seed": judged["seed"],
        "score": judged["score"],
        KNOWN[pack]: judged["known"],
        "open": judged["unknown"],
        **{figure: judged[figure] for figure in same},
    }


def accuracies(rows: Sequence[Row]) -> str:
    """Return accuracies by method and known set; PACS is the mean of the four held-out domains."""
    columns, methods = _columns(rows), distinct(rows, "method")
    cells = {
        (method, name): _spread(
            (r for r in rows if r["method"] == method and counts(r)), "accuracy"
        )
        for method in methods
        for name, counts in columns.items()
    }
    return markdown_table("method", methods, list(columns), cells)


def differences(rows: Sequence[Row]) -> str:
    """Return the accuracy of `auto` minus that of two others, paired by seed, by known set."""
    columns, others = _columns(rows), ("cross-entropy", "CRoFT")
    cells = {
        (other, name): _difference([row for row in rows if counts(row)], "auto", other)
        for other in others
        for name, counts in columns.items()
    }
    return markdown_table("auto minus", others, list(columns), cells)


def _difference(rows: Sequence[Row], method: str, other: str) -> str:
    """Return the mean over seeds and the half width of its 95 % t-interval."""
    one, two = (
        _by_seed((row for row in rows if row["method"] == name), "accuracy")
        for name in (method, other)
    )
    difference_S = np.array([one[seed] - two[seed] for seed in one])
    return f"{difference_S.mean():+.4f} ± {student_half(difference_S):.4f}"


def _columns(rows: Sequence[Row]) -> dict[str, Callable[[Row], bool]]:
    """Return which rows count in a column: all of PACS, and one known set each."""
    columns: dict[str, Callable[[Row], bool]] = {"PACS": lambda row: row["pack"] == "pacs"}
    return columns | {
        name: lambda row, name=name: name in (row.get("domain"), row.get("shift"))
        for name in dict.fromkeys(row.get("domain") or row["shift"] for row in rows)
    }


def by_score(rows: Sequence[Row], unknown: str, figure: str) -> str:
    """Return a figure by method and score for one set of unknown images, clean known images."""
    counted = [r for r in rows if r["open"] == unknown and r.get("shift", "clean") == "clean"]
    compared = [row for row in counted if row["method"] != "auto"]
    methods, scores = distinct(compared, "method"), distinct(compared, "score")
    cells = {
        key: _spread((row for row in compared if (row["method"], row["score"]) == key), figure)
        for key in product(methods, scores)
    }
    return markdown_table("method", methods, scores, cells)


def selected(rows: Sequence[Row]) -> str:
    """Return what `auto` reaches, beside the best of all methods and scores in hindsight."""
    unknown = distinct(rows, "open")
    cells: dict[tuple[str, str], str] = {}
    for name in unknown:
        for column, text in _selected(rows, name).items():
            cells[name, column] = text
    return markdown_table("unknown", unknown, list(_selected(rows, unknown[0])), cells)


def _selected(rows: Sequence[Row], unknown: str) -> dict[str, str]:
    """Return a row of `selected` by column."""
    counted = [r for r in rows if r["open"] == unknown and r.get("shift", "clean") == "clean"]
    own = [row for row in counted if row["method"] == "auto"]
    others: dict[tuple[str, str], list[float]] = {}
    for row in counted:
        if row["method"] != "auto":
            others.setdefault((row["method"], row["score"]), []).append(row["auroc"])
    best = max(others, key=lambda key: mean(others[key]))
    scores = Counter(row["score"] for row in own).most_common()
    return {
        "accuracy": _spread(own, "accuracy"),
        "AUROC": _spread(own, "auroc"),
        "missed": _spread(own, "ood_miss_at_id_keep_95"),
        "scores": ", ".join(f"{count} {score}" for score, count in scores),
        "best AUROC in hindsight": f"{mean(others[best]):.3f} ({best[0]}, {best[1]})",
        "gap": f"{mean(others[best]) - mean(row['auroc'] for row in own):.3f}",
    }


def _spread(rows: Iterable[Row], figure: str) -> str:
    """Return the mean over seeds and the half width of its 95 % t-interval over seeds."""
    means = list(_by_seed(rows, figure).values())
    if len(means) < 2:
        return f"{means[0]:.3f}"
    return f"{mean(means):.3f} ± {student_half(np.array(means)):.3f}"


def _by_seed(rows: Iterable[Row], figure: str) -> dict[int, float]:
    """Return the mean of a figure by seed."""
    values: dict[int, list[float]] = {}
    for row in rows:
        values.setdefault(row["seed"], []).append(row[figure])
    return {seed: mean(of_seed) for seed, of_seed in values.items()}


def load(path: Path) -> list[Row]:
    """Read the rows of an earlier run."""
    rows: list[Row] = json.loads(path.read_text())
    return rows


def save(rows: Sequence[Row], path: Path) -> None:
    """Write one row a line, as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({k: _short(v) for k, v in row.items()}) for row in rows]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _short(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    args = parser.parse_args()
    methods = {name: METHODS[name] for name in args.methods}
    rows: list[Row] = []
    for seed in range(1, args.seeds + 1):
        for load in PACKS.values():
            for task in load(args.packs, seed):
                rows += map(row_of, judge(task, methods))
            say(f"seed {seed}: {load.__name__} done")
    save(rows, args.json)
    say(accuracies(rows))
    for unknown in distinct(rows, "open"):
        say("", f"AUROC, {unknown}", by_score(rows, unknown, "auroc"))
    if "auto" in args.methods:
        say("", selected(rows))
    if {"auto", "cross-entropy", "CRoFT"} <= set(args.methods):
        say("", differences(rows))


def _read(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _floats(array: NDArray[Any]) -> Floats:
    return array.astype(np.float32)


if __name__ == "__main__":
    main()
