"""Class folders and domain/class folders: what is read, what is passed over, what is refused."""

from pathlib import Path

import pytest

from models.errors import DataError
from tests.helpers import make_folders, make_image
from training.image_folders import list_folders


def test_class_folders_have_no_domain(tmp_path: Path) -> None:
    """``class/image`` gives labels alone, sorted by path."""
    listing = list_folders(make_folders(tmp_path, {"dog": 1, "cat": 2}))

    found = [(e.path.relative_to(tmp_path).as_posix(), e.label, e.domain) for e in listing.entries]
    assert found == [
        ("cat/000.jpg", "cat", None),
        ("cat/001.jpg", "cat", None),
        ("dog/000.jpg", "dog", None),
    ]


def test_domain_folders_are_known_by_their_depth(tmp_path: Path) -> None:
    """``domain/class/image`` gives both."""
    listing = list_folders(make_folders(tmp_path, {"cat": 1}, domains=("photo", "sketch")))

    assert [(e.label, e.domain) for e in listing.entries] == [("cat", "photo"), ("cat", "sketch")]


def test_what_is_no_image_is_counted(tmp_path: Path) -> None:
    """Hidden files and folders, archives' leftovers and other extensions are passed over."""
    make_folders(tmp_path, {"cat": 1})
    for name in ("cat/.DS_Store", "cat/notes.txt", "README", "cat/._000.jpg", ".git/a/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "__MACOSX/cat").mkdir(parents=True)
    (tmp_path / "__MACOSX/cat/a.jpg").write_bytes(b"x")

    listing = list_folders(tmp_path)

    assert len(listing.entries) == 1
    assert listing.ignored == {"hidden": 4, ".txt": 1, "no extension": 1}


def test_extensions_are_read_in_any_case(tmp_path: Path) -> None:
    """Cameras write .JPG."""
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/DSC0001.JPG").write_bytes(make_image())

    assert len(list_folders(tmp_path).entries) == 1


def test_mixed_depth_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    """The message names each depth, how many images and one of them."""
    make_folders(tmp_path, {"cat": 2})
    make_folders(tmp_path, {"dog": 1}, domains=("photo",))

    with pytest.raises(
        DataError, match=r"2 at depth 2, such as cat/000.jpg; 1 at depth 3, such as photo/dog/000"
    ):
        list_folders(tmp_path)


def test_images_outside_class_folders_are_refused(tmp_path: Path) -> None:
    """A flat folder has no labels."""
    (tmp_path / "a.jpg").write_bytes(make_image())

    with pytest.raises(DataError, match=r"must lie in class folders.*1 at depth 1, such as a.jpg"):
        list_folders(tmp_path)


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    """So that a wrong path is seen at once."""
    (tmp_path / "movie.mp4").write_bytes(b"x")

    with pytest.raises(DataError, match=r"no image found.*extensions read: .*; found: 1 \.mp4"):
        list_folders(tmp_path)


def test_an_empty_class_folder_is_reported(tmp_path: Path) -> None:
    """A class somebody planned and has no image of yet."""
    make_folders(tmp_path, {"cat": 1})
    (tmp_path / "unicorn").mkdir()

    assert list_folders(tmp_path).empty == ("unicorn",)


def test_a_class_missing_in_one_domain_is_not_empty(tmp_path: Path) -> None:
    """Only a class without any image is."""
    make_folders(tmp_path, {"cat": 1}, domains=("photo", "sketch"))
    make_folders(tmp_path, {"dog": 1}, domains=("photo",))
    (tmp_path / "sketch/dog").mkdir()

    assert list_folders(tmp_path).empty == ()


def test_class_folders_may_be_symbolic_links(tmp_path: Path) -> None:
    """Links are followed, and one that leads back up does not hang."""
    make_folders(tmp_path / "elsewhere", {"cat": 2})
    (tmp_path / "data").mkdir()
    (tmp_path / "data/cat").symlink_to(tmp_path / "elsewhere/cat")
    assert len(list_folders(tmp_path / "data").entries) == 2

    (tmp_path / "elsewhere/cat/loop").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="all at one depth"):
        list_folders(tmp_path / "data")


@pytest.mark.parametrize(
    ("layout", "note"),
    [
        (("train/cat", "test/cat"), "test, train were read as domains, not as a split"),
        (("fruit/apple", "animal/cat"), "no class is in two of the domains animal, fruit"),
    ],
)
def test_a_surprising_reading_is_noted(tmp_path: Path, layout: tuple[str, ...], note: str) -> None:
    """Split folders and nested classes look like domains; the report says how they were read."""
    for index, folder in enumerate(layout):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jpg").write_bytes(make_image(seed=index))

    (found,) = list_folders(tmp_path).notes

    assert note in found
