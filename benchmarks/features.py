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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.head import Head
from training.baselines.few_shot import FewShot
from training.baselines.methods import METHODS as BASELINES
from training.baselines.tuned import CROSS_ENTROPY_ALONE
from training.comparison.judge import Method, Row, Task, judge
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
    methods = {name: METHODS[name] for name in args.methods}
    rows: list[Row] = []
    for seed in range(1, args.seeds + 1):
        for load in PACKS.values():
            for task in load(args.packs, seed):
                rows += map(row_of, judge(task, methods))
            say(f"seed {seed}: {load.__name__} done")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(rows, indent=1) + "\n")
    say(table(rows))


def _read(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _floats(array: NDArray[Any]) -> Floats:
    return array.astype(np.float32)


if __name__ == "__main__":
    main()
