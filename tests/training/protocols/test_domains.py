"""Setup-II: what is held out, trained on and unknown, as it should be and as it was published."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.training.protocols.roots import domain_root, fill
from training.data import Item
from training.protocols.domains import PACS, VLCS
from training.protocols.published import PROTOCOLS
from training.trial import Trial


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both of Setup-II, eight images a class and domain."""
    return domain_root(tmp_path_factory.mktemp("setup2"))


def pacs(root: Path, **given: object) -> list[Trial]:
    """Return the trials of PACS, of one seed."""
    return list(PROTOCOLS["setup2-pacs"].trials(root, **{"seeds": [1], "shots": 3, **given}))  # type: ignore[arg-type]


def paths(items: tuple[Item, ...]) -> set[Path]:
    """Return where the files are."""
    return {item.path for item in items}


def test_each_domain_is_held_out_once_a_seed(root: Path) -> None:
    """A trial is named after the domain; all of it is judged, and nothing of it is trained on."""
    trials = pacs(root, seeds=[1, 2])
    assert [(t.name, t.seed) for t in trials] == [(d, s) for s in (1, 2) for d in PACS.domains]
    for trial in trials:
        assert list(trial.known) == [trial.name]
        assert Counter(i.label for i in trial.known[trial.name]) == dict.fromkeys(PACS.classes, 8)
        assert {item.domain for item in trial.known[trial.name]} == {trial.name}
        assert trial.name not in {item.domain for item in (*trial.train, *trial.select)}
        assert [spec.name for spec in trial.classes] == list(PACS.classes)
        assert trial.classes[0].prompts == ("a photo of a dog.",)


def test_shots_are_of_each_class_and_domain(root: Path) -> None:
    """Training is balanced, and the images to choose by are others."""
    for trial in pacs(root):
        cells = Counter((item.label, item.domain) for item in trial.train)
        assert set(cells.values()) == {3}
        assert len(cells) == 7 * 3
        assert set(Counter((i.label, i.domain) for i in trial.select).values()) == {4}
        assert not paths(trial.train) & paths(trial.select)


def test_a_small_class_trains_on_what_it_has(root: Path) -> None:
    """More shots than images: all are trained on, and nothing is left to choose by."""
    trial = pacs(root, shots=16)[0]
    assert len(trial.train) == 7 * 3 * 8
    assert trial.select == ()


def test_seeds_draw_other_images_and_one_seed_the_same(root: Path) -> None:
    """What is drawn depends on the seed and on nothing else."""
    first, again, other = (pacs(root, seeds=[seed])[0] for seed in (1, 1, 2))
    assert first == again
    assert paths(first.train) != paths(other.train)


def test_the_root_may_lie_anywhere(root: Path, tmp_path: Path) -> None:
    """The same files elsewhere are drawn alike."""
    moved = Path(shutil.copytree(root, tmp_path / "elsewhere"))
    here, there = pacs(root)[0], pacs(moved)[0]
    assert [i.path.relative_to(root) for i in here.train] == [
        i.path.relative_to(moved) for i in there.train
    ]


def test_unknown_classes_have_at_most_a_hundred_images(root: Path) -> None:
    """Of 120 textures 100 are kept, and all of a class that has fewer."""
    trial = pacs(root)[0]
    assert Counter(i.label for i in trial.unknown["dtd"]) == {"banded": 100, "woven": 100}
    assert Counter(i.label for i in trial.unknown["food-101"]) == {"bibimbap": 10, "sushi": 10}


def test_what_the_known_classes_cover_is_not_unknown(root: Path) -> None:
    """A dalmatian is a dog, and a face is a person."""
    labels = {item.label for item in pacs(root)[0].unknown["caltech-101"]}
    assert not labels & {
        "BACKGROUND_Google", "Faces", "Faces_easy", "dalmatian", "snoopy", "elephant",
        "electric_guitar", "buddha", "minaret", "pagoda",
    }  # fmt: skip
    assert labels >= {"Leopards", "accordion", "garfield", "rooster", "chair"}


def test_birds_cars_and_chairs_are_known_in_vlcs(root: Path) -> None:
    """Its own list, not that of PACS."""
    trial = next(PROTOCOLS["setup2-vlcs"].trials(root, shots=2))
    labels = {item.label for item in trial.unknown["caltech-101"]}
    assert not labels & {
        "BACKGROUND_Google", "Faces", "Faces_easy", "dalmatian", "snoopy", "car_side", "chair",
        "wheelchair", "windsor_chair", "emu", "flamingo", "flamingo_head", "ibis", "pigeon",
        "rooster",
    }  # fmt: skip
    assert labels >= {"Leopards", "elephant", "pagoda", "wild_cat"}
    assert trial.name == "CALTECH"
    assert [spec.name for spec in trial.classes] == ["bird", "car", "chair", "dog", "person"]


@pytest.mark.parametrize(("parts", "images"), [(["full"], 8), (["test", "train"], 16)])
def test_vlcs_may_lie_in_parts(tmp_path: Path, parts: list[str], images: int) -> None:
    """All of a domain, or its training and test images, which are then taken together."""
    for part in parts:
        for domain in VLCS.domains:
            fill(tmp_path / "VLCS" / domain / part, VLCS.classes, 8)
    without = ["dtd", "food-101", "caltech-101"]
    trial = next(PROTOCOLS["setup2-vlcs"].trials(tmp_path, shots=2, without=without))
    assert Counter(i.label for i in trial.known["CALTECH"]) == dict.fromkeys(VLCS.classes, images)


def test_a_whole_domain_is_not_taken_twice(tmp_path: Path) -> None:
    """Where `full` lies beside `train` and `test`, which are parts of it, it alone is read."""
    for part in ("full", "train", "test"):
        for domain in VLCS.domains:
            fill(tmp_path / "VLCS" / domain / part, VLCS.classes, 2)
    without = ["dtd", "food-101", "caltech-101"]
    trial = next(PROTOCOLS["setup2-vlcs"].trials(tmp_path, shots=1, without=without))
    assert {item.path.parts[-3] for item in trial.known["CALTECH"]} == {"full"}


def test_a_copy_of_a_training_image_is_not_judged(tmp_path: Path) -> None:
    """Neither as known nor as unknown, where it is the same file under another name."""
    root = domain_root(tmp_path)
    copied = next(i for i in pacs(root)[0].train if i.domain == "sketch")
    for folder in ("PACS/art_painting/dog", "food-101/images/sushi"):
        shutil.copy(copied.path, root / folder / "copy.bmp")
    trial = pacs(root)[0]
    assert copied in trial.train
    assert len(trial.known["art_painting"]) == 7 * 8
    assert len(trial.unknown["food-101"]) == 20


def test_as_published_pacs_is_drawn_whatever_the_class(root: Path) -> None:
    """A third of the shots of each domain once a class: 105 images, not balanced by class."""
    trial = pacs(root, shots=16, as_published=True)[0]
    assert len(trial.train) == 7 * 3 * 5
    assert set(Counter(item.domain for item in trial.train).values()) == {7 * 5}
    assert len(set(Counter(item.label for item in trial.train).values())) > 1
    assert not paths(trial.train) & paths(trial.select)


def test_as_published_few_shots_of_pacs_are_drawn_by_class(root: Path) -> None:
    """The published code takes its other sampler for up to four."""
    trial = pacs(root, shots=4, as_published=True)[0]
    assert Counter(item.label for item in trial.train) == dict.fromkeys(PACS.classes, 4)


def test_as_published_vlcs_has_its_shots_over_all_domains(tmp_path: Path) -> None:
    """16 of a class, not 16 of a class in each domain; 16 more to choose by."""
    root = domain_root(tmp_path, images=12)
    trial = next(PROTOCOLS["setup2-vlcs"].trials(root, as_published=True))
    assert Counter(item.label for item in trial.train) == dict.fromkeys(VLCS.classes, 16)
    assert Counter(item.label for item in trial.select) == dict.fromkeys(VLCS.classes, 16)
    assert {item.domain for item in trial.train} == {"LABELME", "PASCAL", "SUN"}


def test_as_published_detection_has_its_own_images(tmp_path: Path) -> None:
    """At most 500 of a class, where accuracy is of all."""
    without = ["dtd", "food-101", "caltech-101"]
    for domain in PACS.domains:
        fill(tmp_path / "PACS" / domain, PACS.classes, 1)
    for index in range(1, 510):
        source = tmp_path / "PACS" / "sketch" / "dog"
        shutil.copy(source / "0.bmp", source / f"{index}.bmp")
    trial = pacs(tmp_path, as_published=True, without=without)[-1]
    assert {name: len(items) for name, items in trial.known.items()} == {
        "sketch": 510 + 6,
        "sketch, at most 500 a class": 500 + 6,
    }


def test_as_published_unknown_images_are_those_of_a_few_shot_split(root: Path) -> None:
    """16 of the training half, 4 of the validation fifth and all test images: 56 of DTD's 120."""
    trial = pacs(root, shots=16, as_published=True)[0]
    assert Counter(i.label for i in trial.unknown["dtd"]) == {"banded": 56, "woven": 56}


def test_as_published_unknown_classes_are_others(root: Path) -> None:
    """What has another name in the split file is lost; buildings and statues count as unknown."""
    trial = pacs(root, as_published=True)[0]
    labels = {item.label for item in trial.unknown["caltech-101"]}
    assert labels >= {"buddha", "minaret", "pagoda", "accordion", "rooster"}
    assert not labels & {"Leopards", "Faces", "Faces_easy", "BACKGROUND_Google", "dalmatian"}
    vlcs = next(PROTOCOLS["setup2-vlcs"].trials(root, shots=2, as_published=True))
    labels = {item.label for item in vlcs.unknown["caltech-101"]}
    assert "rooster" in labels
    assert "wild_cat" not in labels
