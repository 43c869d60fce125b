"""Setup-I: known and unknown classes, shifts restricted to the known, and what was published."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

from tests.training.protocols.roots import SMALL_SETS, WNIDS, imagenet_root
from training.protocols.imagenet import divide
from training.protocols.published import PROTOCOLS
from training.trial import Trial

NAME_OF = dict(zip(WNIDS, IMAGENET_CLASSNAMES, strict=True))
SETUP_1 = PROTOCOLS["setup1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All folders of Setup-I: three training and two validation images a class."""
    return imagenet_root(tmp_path_factory.mktemp("setup1"))


@pytest.fixture(scope="module")
def trial(root: Path) -> Trial:
    """The first seed's trial, of one shot."""
    return next(SETUP_1.trials(root, shots=1))


def known(trial: Trial) -> set[str]:
    """Return the folders of the known classes."""
    return {spec.name for spec in trial.classes}


def test_four_hundred_classes_are_known(trial: Trial) -> None:
    """Each with its ImageNet name, by the order of folders, in seven templates."""
    assert len(known(trial)) == len(trial.classes) == 400
    assert (trial.name, trial.seed) == ("imagenet-400", 1)
    for spec in trial.classes:
        assert spec.display_name == NAME_OF[spec.name]
        assert len(spec.prompts) == 7
        assert spec.prompts[0] == f"itap of a {spec.display_name}."
        assert spec.prompts[6] == f"a photo of the small {spec.display_name}."


def test_shots_and_selection_are_training_images(trial: Trial) -> None:
    """No validation image is looked at before the end."""
    assert Counter(item.label for item in trial.train) == dict.fromkeys(known(trial), 1)
    assert Counter(item.label for item in trial.select) == dict.fromkeys(known(trial), 2)
    assert {i.path.parts[-3] for i in (*trial.train, *trial.select)} == {"train"}
    assert not {i.path for i in trial.train} & {i.path for i in trial.select}


def test_shifts_hold_known_classes_alone(trial: Trial) -> None:
    """ImageNet-A and -R have some of the classes; what is not among them is not judged there."""
    counts = {name: Counter(i.label for i in items) for name, items in trial.known.items()}
    assert counts.pop("imagenet") == dict.fromkeys(known(trial), 2)
    for name in ("imagenetv2", "sketch"):
        assert counts.pop(name) == dict.fromkeys(known(trial), 1)
    for name, wnids in SMALL_SETS.items():
        assert counts.pop(name) == dict.fromkeys(known(trial) & set(wnids), 1)
    assert counts == {}


def test_v2_folders_are_indices(trial: Trial) -> None:
    """Folder 10 is the eleventh class, though it sorts third."""
    for item in trial.known["imagenetv2"]:
        assert item.label == WNIDS[int(item.path.parent.name)]


def test_all_images_of_the_other_classes_are_unknown(trial: Trial) -> None:
    """Two of each, without those of a known class's namesake."""
    names = {NAME_OF[wnid] for wnid in known(trial)}
    others = [wnid for wnid in WNIDS if NAME_OF[wnid] not in names]
    assert Counter(i.label for i in trial.unknown["imagenet-600"]) == dict.fromkeys(others, 2)
    assert 598 <= len(others) <= 600


def test_seeds_have_other_known_classes(root: Path, trial: Trial) -> None:
    """As published: the figures' spread is of split and training together."""
    trials = list(SETUP_1.trials(root, seeds=[1, 2], shots=1))
    assert trials[0] == trial
    assert known(trials[0]) != known(trials[1])


@pytest.mark.parametrize("seed", range(40))
def test_no_two_known_classes_have_one_name(seed: int) -> None:
    """Nor a known and an unknown one: their prompts are equal, and no method could do it."""
    division = divide(WNIDS, seed, as_published=False)
    names = [NAME_OF[wnid] for wnid in division.known]
    assert len(set(names)) == len(names) == 400
    assert not set(names) & {NAME_OF[wnid] for wnid in division.unknown}


def test_the_known_classes_are_those_that_numpy_draws() -> None:
    """The published code's call after seeding; its state is what decides."""
    chosen = np.random.RandomState(1).choice(IMAGENET_CLASSNAMES, 400, replace=False)
    for as_published in (False, True):
        division = divide(WNIDS, 1, as_published=as_published)
        assert {NAME_OF[wnid] for wnid in division.known} == set(chosen)


def test_as_published_namesakes_are_one_class() -> None:
    """Both folders of missile count as the one that was drawn, or first drawn."""
    pair = [wnid for wnid in WNIDS if NAME_OF[wnid] == "missile"]
    assert len(pair) == 2
    divisions = [divide(WNIDS, seed, as_published=True) for seed in range(10)]
    drawn = [division for division in divisions if pair[0] in division.known]
    assert 0 < len(drawn) < 10
    for division in drawn:
        assert division.known[pair[0]] == division.known[pair[1]]
    for division in divisions:
        assert not set(division.known) & set(division.unknown)
        assert len(division.known) + len(division.unknown) == 1000


def test_as_published_the_test_chooses_the_epoch(root: Path) -> None:
    """Selection is a part of the known validation images, and detection is judged on it."""
    trial = next(SETUP_1.trials(root, shots=1, as_published=True))
    assert set(trial.select) <= set(trial.known["imagenet"])
    assert trial.known["imagenet, 4 a class"] == trial.select
    assert len(trial.train) == 400


def test_as_published_a_thousand_unknown_images_are_all(root: Path) -> None:
    """They share one label, and a thousand of each label are kept."""
    trial = next(SETUP_1.trials(root, shots=1, as_published=True))
    assert len(trial.unknown["imagenet-600"]) == 1000


def test_shifts_can_be_left_out(root: Path) -> None:
    """For those who have ImageNet alone."""
    without = ["imagenetv2", "sketch", "imagenet-a", "imagenet-r", "imagenet-600"]
    trial = next(SETUP_1.trials(root, shots=1, without=without))
    assert list(trial.known) == ["imagenet"]
    assert trial.unknown == {}


def test_images_that_are_not_used_are_not_opened(root: Path) -> None:
    """A million training images need neither be whole nor read."""
    trial = next(SETUP_1.trials(root, shots=1))
    used = {item.path for part in (trial.train, trial.select) for item in part}
    spared = next(p for p in (root / "imagenet/train").rglob("*.bmp") if p not in used)
    content = spared.read_bytes()
    spared.write_bytes(b"not an image")
    try:
        assert next(SETUP_1.trials(root, shots=1)) == trial
    finally:
        spared.write_bytes(content)
