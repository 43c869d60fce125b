"""The promise holds for what selection chose, since nothing of it has seen calibration images.

Known images are drawn independently from a mixture. Of many of them, the population, every score
is computed: calibration images are drawn from it, and the share of known images that a threshold
refuses is counted in it without further sampling. Axes: N training images, M population,
n calibration images, D embedding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from training.baselines.few_shot import FewShot
from training.calibrate import CalibrateConfig, calibrate, pac_rank
from training.selection.auto import Selected, auto
from training.selection.rounds import rounds
from training.selection.select import Plan
from training.tune import TextSource, TuneConfig

ALPHA = DELTA = 0.05
CLASSES, MODES, DIM = 4, 3, 16
SHOTS, POPULATION = 32, 1999  # so many that no share of them is alpha itself
SELECTIONS, CALIBRATIONS = 5, 400
LEAKS = 5

QUICK: Final = TuneConfig(epochs=1, batch_size=32)

Set = tuple[NDArray[np.float32], NDArray[np.int64]]

pytestmark = [pytest.mark.statistical, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try two settings in a round of each of four folds."""

    def few(shots: FewShot, base: TuneConfig) -> Plan:
        plain = replace(base, lambda_1=0.0, lambda_2=0.0, gen_steps=0)
        return Plan(settings=(base, plain), rounds=rounds(shots)[::3])

    monkeypatch.setattr("training.selection.auto.plan", few)


def known(count: int, rng: np.random.Generator) -> Set:
    """Return raw embeddings (N, D) of known images, and labels; each class has several modes."""
    modes = np.random.default_rng(99).standard_normal((CLASSES, MODES, DIM))
    labels_N = rng.integers(CLASSES, size=count)
    noise_ND = 0.5 * rng.standard_normal((count, DIM))
    mode_N = rng.integers(MODES, size=count)
    return (modes[labels_N, mode_N] + noise_ND).astype(np.float32), labels_N


def join(one: Set, other: Set) -> Set:
    """Return the images of both."""
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def choose(train: Set, *, seed: int) -> Selected:
    """Choose settings and score by training images, and fit both."""
    features_KD = np.random.default_rng(7).standard_normal((CLASSES, DIM)).astype(np.float32)
    text = TextSource(features_KD=features_KD, logit_scale=20.0, name="made up")
    shots = FewShot(train_NVD=train[0][:, None], labels_N=train[1], text=text, seed=seed)
    return auto(shots, replace(QUICK, seed=seed))


def scores(selected: Selected, images_MD: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the chosen score of each image, (M,)."""
    return selected.fitted(selected.head.outputs(images_MD))


def breaks(calibration_n: NDArray[np.float64], population_M: NDArray[np.float64]) -> bool:
    """Tell whether a threshold refuses more known images than it promises."""
    threshold = calibrate(calibration_n, CalibrateConfig(alpha=ALPHA, delta=DELTA))
    return bool(np.mean(population_M > threshold.value) > ALPHA)


def is_as_derived(broken: int, of: int, *, n: int) -> bool:
    """Tell whether a count lies in the two-sided 99.9 % band around its exact expectation."""
    rank = pac_rank(n, ALPHA, DELTA)
    low, high = stats.binom.ppf([0.0005, 0.9995], of, stats.beta.sf(ALPHA, rank, n + 1 - rank))
    return bool(low <= broken <= high)


def test_the_promise_is_kept_by_what_was_chosen() -> None:
    """Broken as often as derived, hence by at most delta of calibration sets."""
    broken = {59: 0, 93: 0}
    for seed in range(SELECTIONS):
        rng = np.random.default_rng([1, seed])
        selected = choose(known(SHOTS, rng), seed=seed)
        population_M = scores(selected, known(POPULATION, rng)[0])
        for n in broken:
            drawn = rng.choice(population_M, size=(CALIBRATIONS, n))
            broken[n] += sum(breaks(calibration_n, population_M) for calibration_n in drawn)
    for n, count in broken.items():
        rank = pac_rank(n, ALPHA, DELTA)
        assert stats.beta.sf(ALPHA, rank, n + 1 - rank) <= DELTA
        assert is_as_derived(count, SELECTIONS * CALIBRATIONS, n=n), (n, count)


@pytest.mark.parametrize(("leaked", "kept"), [(False, True), (True, False)])
def test_calibration_images_among_the_training_images_break_it(leaked: bool, kept: bool) -> None:
    """The same check finds out: a score that has seen them finds them too usual."""
    n, broken = 59, 0
    for seed in range(LEAKS):
        rng = np.random.default_rng([2, seed])
        train, calibration = known(SHOTS, rng), known(n, rng)
        seen = join(train, calibration) if leaked else train
        selected = choose(seen, seed=seed)
        population_M = scores(selected, known(POPULATION, rng)[0])
        broken += breaks(scores(selected, calibration[0]), population_M)
    assert is_as_derived(broken, LEAKS, n=n) == kept
