"""What `auto` says before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from training.baselines.few_shot import FewShot
from training.class_names import default_spec
from training.comparison.selecting import selecting_lines, selects
from training.data import Item
from training.selection.select import Plan, plan
from training.trial import Trial
from training.tune import TextSource, TuneConfig


def trial(classes: int, *, images: int = 4, domains: int = 0) -> Trial:
    """Return so many images of each class, from one domain after the other."""
    names = [f"class {k}" for k in range(classes)]
    items = tuple(
        Item(
            path=Path(f"{name}/{i}"),
            label=name,
            domain=f"domain {i % domains}" if domains else None,
            split=None,
            group=None,
            digest=f"sha256:{name} {i}",
        )
        for name in names
        for i in range(images)
    )
    specs = tuple(default_spec(name) for name in names)
    return Trial(name="made up", seed=1, classes=specs, train=items, known={"test": items})


def tunings(classes: int, images: int, *, domains: int = 0) -> int:
    """Return how often selection tunes on embeddings of such images."""
    labels_N = np.repeat(np.arange(classes), images)
    rng = np.random.default_rng(0)
    features_KD = rng.standard_normal((classes, 8)).astype(np.float32)
    shots = FewShot(
        train_NVD=rng.standard_normal((len(labels_N), 1, 8)).astype(np.float32),
        labels_N=labels_N,
        text=TextSource(features_KD=features_KD, logit_scale=20.0, name="made up"),
        domains_N=np.arange(len(labels_N)) % images % domains if domains else None,
    )
    made = plan(shots, TuneConfig())
    assert isinstance(made, Plan)
    return made.tunings


def test_it_says_how_often_it_tunes() -> None:
    """As selection does on embeddings: with domains once for each, else for parts of a class."""
    with_two, without = tunings(5, 4, domains=2), tunings(5, 4)
    (line,) = selecting_lines([trial(5, domains=2), trial(5)])

    assert with_two < without
    assert line.startswith(f"auto tunes {with_two + without:,} times more, on parts")


def test_it_says_where_there_is_nothing_to_select_by() -> None:
    """Each reason once, with the number of trials; three classes are too few."""
    few, single = trial(3), trial(5, images=1)
    lines = selecting_lines([few, trial(4), replace(few, seed=2), single])

    assert len(lines) == 2
    assert lines[1].startswith("auto selects nothing in 3 of 4 trials, and is CRoFT by the energy")
    assert lines[1].count("there are 3 classes") == 1
    assert "fewer than two training images" in lines[1]
    assert len(selecting_lines([few])) == 1
    assert [selects(each) for each in (few, trial(4), single)] == [False, True, False]


def test_images_of_one_group_stay_together() -> None:
    """So that a class whose images are all of one has none to hold out."""
    made = trial(5)
    grouped = replace(made, train=tuple(replace(i, group=i.label) for i in made.train))

    assert selects(made)
    assert not selects(grouped)
