"""A small comparison: clusters of embeddings as a task, and rows with figures made up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.training.baselines.problems import DIM, few_shot, plain
from training.comparison.judge import Row, Task


def strangers(count: int, *, seed: int) -> NDArray[np.float32]:
    """Return raw embeddings of nothing in particular, (N, D)."""
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def task(**changes: Any) -> Task:
    """Return two known and two unknown sets around the few-shot problem, with changes."""
    given: dict[str, Any] = {
        "name": "clusters",
        "shots": few_shot(epochs=2, seed=5),
        "known": {"near": plain(60, seed=1), "far (shifted)": plain(40, seed=2)},
        "unknown": {"noise": strangers(50, seed=3), "more noise": strangers(30, seed=4)},
    }
    return Task(**(given | changes))


def row(**changes: Any) -> Row:
    """Return one row, with changes."""
    given = {
        "trial": "photo",
        "method": "CRoFT",
        "seed": 1,
        "known": "photo (shifted)",
        "accuracy": 0.75,
        "accuracy_se": 0.01,
        "unknown": "textures",
        "score": "energy",
        "auroc": 0.9,
        "auroc_se": 0.02,
        "ood_miss_at_id_keep_95": 0.4,
        "id_reject_at_ood_catch_95": 0.3,
    }
    return given | changes


def rows(*, methods: int = 2, scores: int = 2, seeds: int = 3) -> list[Row]:
    """Return rows of two held-out domains and the trained ones, and of two unknown sets."""
    return [
        row(
            trial=domain,
            method=f"method {m}",
            seed=seed,
            known=known,
            accuracy=0.5 + 0.03 * m + 0.01 * seed + (0.2 if known == "trained domains" else 0),
            unknown=unknown,
            score=f"score {s}",
            auroc=0.6 + 0.02 * m + 0.03 * s + 0.005 * seed,
        )
        for domain in ("photo", "sketch")
        for seed in range(1, seeds + 1)
        for m in range(methods)
        for known in (f"{domain} (shifted)", "trained domains")
        for unknown in ("textures", "objects")
        for s in range(scores)
    ]


def own_rows(*selected: str | None, auroc: float = 0.8) -> list[Row]:
    """Return rows of a method with its own score: what it selected with each seed.

    None is for nothing, so that the energy stands in.
    """
    return [
        made
        | {
            "method": "auto",
            "score": selected[made["seed"] - 1] or "energy",
            "selected": selected[made["seed"] - 1],
            "accuracy": made["accuracy"] + 0.1,
            "auroc": auroc,
        }
        for made in rows(methods=1, scores=1, seeds=len(selected))
    ]


def without_unknown(given: list[Row]) -> list[Row]:
    """Return what is left of rows where no unknown sets are given."""
    kept = ("trial", "method", "seed", "known", "accuracy", "accuracy_se", "selected")
    left = [{key: row[key] for key in kept if key in row} for row in given]
    return list({tuple(row.values()): row for row in left}.values())
