"""training.unknown."""

from pathlib import Path

import pytest

from models.errors import DataError
from tests.helpers import make_folders, make_image
from training.unknown import load_unknown, overlap_notes


def test_a_plain_folder_of_images_is_a_set(tmp_path: Path) -> None:
    """Labelled with the set's name; hidden files and other kinds are passed over, broken named."""
    for index in range(3):
        (tmp_path / f"{index}.JPG").write_bytes(make_image(seed=index))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.jpg").write_bytes(make_image(seed=9))
    (tmp_path / "notes.txt").write_text("not an image")

    items, notes = load_unknown("junk", tmp_path)

    assert [item.path.name for item in items] == ["0.JPG", "1.JPG", "2.JPG"]
    assert {item.label for item in items} == {"junk"}
    assert len({item.digest for item in items}) == 3
    (note,) = notes
    assert note.startswith(
        "Left out of the unknown set `junk`, not decodable: 1; the first: broken"
    )


def test_class_folders_keep_their_labels(tmp_path: Path) -> None:
    """And their domains."""
    make_folders(tmp_path, {"guitar": 2, "rocket": 1}, domains=("photo", "sketch"))

    items, notes = load_unknown("junk", tmp_path)

    assert notes == []
    assert sorted({(item.domain, item.label) for item in items}) == [
        ("photo", "guitar"),
        ("photo", "rocket"),
        ("sketch", "guitar"),
        ("sketch", "rocket"),
    ]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    """Not an empty set; an absent folder is named."""
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")

    with pytest.raises(DataError, match="none of 1 images can be decoded; the first: broken"):
        load_unknown("junk", tmp_path)
    with pytest.raises(DataError, match="absent: no such file or folder"):
        load_unknown("junk", tmp_path / "absent")


def test_a_broken_file_in_class_folders_is_named_too(tmp_path: Path) -> None:
    """It is not dropped in silence there either."""
    make_folders(tmp_path, {"guitar": 2})
    (tmp_path / "guitar" / "cut.jpg").write_bytes(make_image()[:200])

    items, (note,) = load_unknown("junk", tmp_path)

    assert len(items) == 2
    assert "not decodable: 1; the first: cut.jpg" in note


def test_classes_that_seem_known_are_named() -> None:
    """Plurals and case do not hide them; different things raise no alarm."""
    (note,) = overlap_notes("junk", {"Cats", "dog", "robot"}, ["cat", "dog"])

    assert "`junk` has classes named like known ones: Cats (cat), dog." in note
    assert overlap_notes("junk", {"robot"}, ["cat", "dog"]) == []
