"""What the penalty of `croft` costs beside the authors' formulation: closed form or autograd.

    python -m benchmarks.edr_cost [--repeats 60]

Both on one thread, turn by turn on the same features (N = 64 images, K = 400 classes, D = 512),
forward and backward; medians. The authors' takes a gradient with its own graph and differentiates
through it; the closed form is differentiated once. Then the same of a whole training step, with
each objective's other losses, generator and optimisers. Exits 1 when the penalty's ratio is above
0.85.

Axes: N images, K classes, D embedding.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.nn.adapter import Adapter
from training import objective, official
from training.official_trainer import OfficialTrainer
from training.progress import say
from training.trainer import Model, Trainer
from training.tune import TextSource, TuneConfig, official_defaults

N, K, D = 64, 400, 512
SCALE: Final = 100.0
ALLOWED: Final = 0.85


def main() -> int:
    """Print times and ratios, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=60, help="of each (default %(default)s)")
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    ratio = report("penalty", *penalties(), repeats=repeats)
    report("whole step", *steps(), repeats=repeats)
    return 0 if ratio <= ALLOWED else 1


def penalties() -> tuple[Callable[[], None], Callable[[], None]]:
    """Return forward and backward of the penalty on the same features, closed form first."""
    x_ND, t_KD = embeddings(N, seed=1), embeddings(K, seed=2)
    adapter = Adapter(D, ratio_image=0.2, ratio_text=0.5)

    def closed() -> None:
        backward(objective.energy_gradient(adapter, x_ND, t_KD, SCALE))

    def by_autograd() -> None:
        backward(official.energy_gradient(adapter, x_ND, t_KD, edr="setup2"))

    def backward(loss: Tensor) -> None:
        adapter.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]

    return closed, by_autograd


def steps() -> tuple[Callable[[], None], Callable[[], None]]:
    """Return one training step of either objective on the same batch, `croft` first."""
    text = TextSource(
        features_KD=embeddings(K, seed=2).numpy(), logit_scale=SCALE, name="random features"
    )
    x_ND, labels_N = embeddings(N, seed=1), torch.arange(N) % K
    here = TuneConfig(batch_size=N)
    theirs = official_defaults(batch_size=N)
    ours = Trainer(Model(text, here), here, steps=1000)
    official_ones = OfficialTrainer(Model(text, theirs), theirs)

    def ours_once() -> None:
        ours.epoch(iter([(x_ND, labels_N)]))

    def theirs_once() -> None:
        official_ones.epoch(iter([(x_ND, labels_N)]))

    return ours_once, theirs_once


def report(
    what: str, closed: Callable[[], None], by_autograd: Callable[[], None], *, repeats: int
) -> float:
    """Print the median times of both, and return how much of the second the first takes."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 5):
        for took, run in zip(times, (closed, by_autograd), strict=True):
            start = time.perf_counter()
            run()
            if turn >= 5:  # the first turns warm caches and memory up
                took.append(1000 * (time.perf_counter() - start))
    ours, theirs = median(times[0]), median(times[1])
    say(f"{what:10}  croft {ours:6.2f} ms  official {theirs:6.2f} ms  ratio {ours / theirs:.2f}")
    return ours / theirs


def embeddings(rows: int, *, seed: int) -> Tensor:
    """Return random unit rows (N, D) around a common direction, as CLIP's are."""
    drawn_ND = np.random.default_rng(seed).standard_normal((rows, D)) + 0.5
    return normalize(torch.from_numpy(drawn_ND).float(), dim=1)


if __name__ == "__main__":
    sys.exit(main())
