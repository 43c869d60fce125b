"""Folders: what is missing or wrong is all said at once, before an image is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.errors import ConfigError, DataError
from tests.training.protocols.roots import WNIDS, domain_root, fill
from training.protocols.published import PROTOCOLS


def test_an_empty_root_is_told_all_that_belongs_there(tmp_path: Path) -> None:
    """One message names every folder, what it holds, and what the protocol can do without."""
    with pytest.raises(DataError) as caught:
        PROTOCOLS["setup2-pacs"].trials(tmp_path)
    message = str(caught.value)
    for path in (
        "PACS/art_painting/<class>/", "PACS/cartoon/<class>/", "PACS/photo/<class>/",
        "PACS/sketch/<class>/", "dtd/images/<class>/", "food-101/images/<class>/",
        "101_ObjectCategories/<class>/",
    ):  # fmt: skip
        assert f"\n  {path}" in message
    assert "folders dog, elephant, giraffe, guitar, horse, house, person" in message
    assert message.endswith("or leave them out: --without dtd,food-101,caltech-101.")


def test_setup_1_names_all_its_folders(tmp_path: Path) -> None:
    """Also those whose expected names depend on a folder that is missing."""
    assert [line.split("/<")[0] for line in PROTOCOLS["setup1"].missing(tmp_path)] == [
        "imagenet/train", "imagenet/val", "imagenetv2-matched-frequency-format-val", "sketch",
        "imagenet-a", "imagenet-r",
    ]  # fmt: skip


def test_a_class_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """A data set that was unpacked in part is not the data set."""
    root = domain_root(tmp_path, images=1)
    shutil.rmtree(root / "PACS" / "photo" / "horse")
    shutil.rmtree(root / "VLCS" / "SUN" / "bird")
    assert [line.split(": ")[1] for line in PROTOCOLS["setup2-pacs"].missing(root)] == [
        "without the folders horse"
    ]
    with pytest.raises(DataError, match=r"VLCS/SUN/<class>/ .*without the folders bird\nMove or"):
        PROTOCOLS["setup2-vlcs"].trials(root)


def test_imagenet_needs_its_thousand_folders(tmp_path: Path) -> None:
    """Names belong to folders by their order: 999 folders would have the wrong names."""
    fill(tmp_path / "imagenet" / "train", WNIDS[:-1], 0)
    assert "999 class folders in place of 1000" in PROTOCOLS["setup1"].missing(tmp_path)[0]


def test_folders_of_no_class_of_imagenet_are_named(tmp_path: Path) -> None:
    """ImageNet-R in folders of class names is refused, and so is a sketch of another class."""
    fill(tmp_path / "imagenet" / "train", WNIDS, 0)
    fill(tmp_path / "imagenet-r", ["goldfish"], 0)
    fill(tmp_path / "sketch", [*WNIDS[1:], "n99999999"], 0)
    wrong = {line.split("/<")[0]: line for line in PROTOCOLS["setup1"].missing(tmp_path)}
    assert "no classes of ImageNet: goldfish" in wrong["imagenet-r"]
    assert f"without the folders {WNIDS[0]}" in wrong["sketch"]
    assert "imagenet/train" not in wrong


def test_sets_can_be_left_out_by_name(tmp_path: Path) -> None:
    """What is left out is neither needed nor judged; what a protocol is about cannot be."""
    root = domain_root(tmp_path, images=6)
    shutil.rmtree(root / "food-101")
    pacs = PROTOCOLS["setup2-pacs"]
    with pytest.raises(
        DataError, match=r"also needs\n  food-101/images[^\n]*\nMove .* --without food-101\.$"
    ):
        pacs.trials(root)
    trial = next(pacs.trials(root, shots=1, without=["food-101"]))
    assert list(trial.unknown) == ["dtd", "caltech-101"]
    with pytest.raises(ConfigError, match=r"setup2-pacs cannot do without photo; .* food-101"):
        pacs.trials(root, without=["photo"])


@pytest.mark.parametrize("given", [{"shots": 0}, {"seeds": ()}, {"seeds": (1, -1)}])
def test_numbers_that_make_no_trial_are_refused(
    tmp_path: Path, given: dict[str, int | tuple[int, ...]]
) -> None:
    """At once, before folders are looked at."""
    with pytest.raises(ConfigError, match="at least 1 shot and seeds from 0 on"):
        PROTOCOLS["setup1"].trials(tmp_path, **given)  # type: ignore[arg-type]


def test_a_file_that_is_no_image_is_an_error(tmp_path: Path) -> None:
    """Left out in silence, it would make another protocol."""
    root = domain_root(tmp_path, images=6)
    broken = root / "PACS" / "art_painting" / "dog" / "0.bmp"
    broken.write_bytes(b"BM")
    with pytest.raises(DataError, match=r"1 of .* cannot be read: .*dog/0\.bmp \("):
        list(PROTOCOLS["setup2-pacs"].trials(root, shots=1))


def test_a_class_folder_without_images_is_an_error(tmp_path: Path) -> None:
    """It is there and holds text files: nothing to train on."""
    root = domain_root(tmp_path, images=1)
    (root / "PACS" / "photo" / "dog" / "0.bmp").rename(root / "PACS" / "photo" / "dog" / "0.txt")
    with pytest.raises(DataError, match=r"PACS/photo/dog: no image \(PACS's photo"):
        list(PROTOCOLS["setup2-pacs"].trials(root))


def test_says_that_an_unknown_set_is_a_part_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten textures are not DTD; the run goes on and the reader knows."""
    list(PROTOCOLS["setup2-pacs"].trials(domain_root(tmp_path, images=2), seeds=[1], shots=1))
    assert "dtd/images has 2 class folders; the whole of it has 47." in capsys.readouterr().out


def test_an_empty_unknown_set_is_told(tmp_path: Path) -> None:
    """Its folder was made, and nothing unpacked into it."""
    (tmp_path / "dtd" / "images").mkdir(parents=True)
    wrong = PROTOCOLS["setup2-pacs"].missing(tmp_path, without=["food-101", "caltech-101"])
    assert wrong[-1] == "dtd/images/<class>/ (DTD, 47 folders): no class folder in it"
