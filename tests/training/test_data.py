"""Loading a data set: every image is checked first, findings are reported, order is stable."""

import hashlib
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from models.errors import ConfigError, DataError
from tests.helpers import make_folders, make_image
from training.data import Item, load_dataset, unit_indices


def test_folders_become_items_with_digests(tmp_path: Path) -> None:
    """Path, label, domain and the digest of the bytes; classes sorted by name."""
    make_folders(tmp_path, {"dog": 2, "cat": 1}, domains=("photo", "sketch"))

    dataset, report = load_dataset(tmp_path)

    first = dataset.items[0]
    data = (tmp_path / "photo/cat/000.jpg").read_bytes()
    assert first.path == tmp_path / "photo/cat/000.jpg"
    assert (first.label, first.domain, first.split, first.group) == ("cat", "photo", None, None)
    assert first.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert [spec.name for spec in dataset.classes] == ["cat", "dog"]
    assert dataset.domains == ("photo", "sketch")
    assert dataset.labels(dataset.items).tolist() == [0, 1, 1, 0, 1, 1]
    assert report.counts == {
        "cat": {"photo": 1, "sketch": 1},
        "dog": {"photo": 2, "sketch": 2},
    }


@pytest.mark.parametrize(
    ("format", "suffix", "mode"),
    [
        ("JPEG", "jpg", "RGB"),
        ("JPEG", "jpeg", "CMYK"),
        ("JPEG", "JPG", "L"),
        ("PNG", "png", "RGBA"),
        ("PNG", "png", "I;16"),
        ("WEBP", "webp", "RGB"),
        ("GIF", "gif", "P"),
        ("BMP", "bmp", "RGB"),
        ("TIFF", "tif", "RGB"),
        ("TIFF", "tiff", "CMYK"),
        *([("AVIF", "avif", "RGB")] if features.check("avif") else []),
    ],
)
def test_every_format_is_usable(tmp_path: Path, format: str, suffix: str, mode: str) -> None:
    """Real files of each format and of the unusual colour modes."""
    (tmp_path / "cat").mkdir()
    (tmp_path / f"cat/a.{suffix}").write_bytes(make_image(format=format, mode=mode))

    dataset, report = load_dataset(tmp_path)

    assert len(dataset.items) == 1
    assert report.unreadable == ()


def test_broken_files_are_reported_and_left_out(tmp_path: Path) -> None:
    """Empty, truncated, mislabelled text and a picture bomb, each with its reason."""
    make_folders(tmp_path, {"cat": 2})
    whole = make_image(size=(200, 200))
    bomb = io.BytesIO()
    Image.new("1", (8000, 7000)).save(bomb, "PNG")
    broken = {
        "cat/bomb.png": (bomb.getvalue(), "at most 50,000,000"),
        "cat/empty.jpg": (b"", "0 bytes"),
        "cat/short.jpg": (whole[: len(whole) // 2], "truncated"),
        "cat/text.png": (b"hello, I am no image", "not an image that can be read"),
    }
    for name, (data, _) in broken.items():
        (tmp_path / name).write_bytes(data)

    dataset, report = load_dataset(tmp_path)

    assert len(dataset.items) == 2
    assert [bad.path.relative_to(tmp_path).as_posix() for bad in report.unreadable] == list(broken)
    for bad, (_, reason) in zip(report.unreadable, broken.values(), strict=True):
        assert reason in bad.reason
    assert any("cat/short.jpg" in line for line in report.lines())


def test_a_format_without_its_decoder_says_what_to_install(tmp_path: Path) -> None:
    """In an installation without the extra, an iPhone's photo is reported, never dropped."""
    make_folders(tmp_path, {"cat": 1})
    (tmp_path / "cat/phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(64))
    program = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from pathlib import Path; from training.data import load_dataset\n"
        "print(*load_dataset(Path(sys.argv[1]))[1].lines(), sep='\\n')"
    )

    lines = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    ).stdout

    assert "1 usable images" in lines
    assert "cat/phone.heic: This is a HEIC image" in lines
    assert "pip install pillow-heif" in lines


def test_identical_files_are_reported(tmp_path: Path) -> None:
    """One label: kept and listed as duplicates."""
    make_folders(tmp_path, {"cat": 2, "dog": 1})
    shutil.copy(tmp_path / "cat/000.jpg", tmp_path / "cat/copy.jpg")

    dataset, report = load_dataset(tmp_path)

    assert len(dataset.items) == 4
    assert report.duplicates == ((tmp_path / "cat/000.jpg", tmp_path / "cat/copy.jpg"),)
    assert "  cat/000.jpg = cat/copy.jpg" in report.lines()


def test_identical_files_with_two_labels_are_left_out(tmp_path: Path) -> None:
    """Nobody knows which label is right."""
    make_folders(tmp_path, {"cat": 2, "dog": 2})
    shutil.copy(tmp_path / "cat/000.jpg", tmp_path / "dog/copy.jpg")

    dataset, report = load_dataset(tmp_path)

    assert [item.path.name for item in dataset.items] == ["001.jpg", "000.jpg", "001.jpg"]
    assert report.conflicts[0].labelled == (
        (tmp_path / "cat/000.jpg", "cat"),
        (tmp_path / "dog/copy.jpg", "dog"),
    )
    assert "  cat/000.jpg (cat) = dog/copy.jpg (dog)" in report.lines()


def test_a_class_that_lost_all_images_is_reported(tmp_path: Path) -> None:
    """It is no class of the data set any more, and that is said."""
    make_folders(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "dog/000.jpg").write_bytes(b"")

    dataset, report = load_dataset(tmp_path)

    assert [spec.name for spec in dataset.classes] == ["cat"]
    assert report.empty == ("dog",)


def test_a_manifest_keeps_split_and_group(tmp_path: Path) -> None:
    """And a file it names that is not there is reported like one that does not decode."""
    make_folders(tmp_path, {"cat": 2})
    manifest = tmp_path / "data.csv"
    manifest.write_text(
        "path,label,split,group\ncat/000.jpg,tom,test,g\ncat/001.jpg,tom,,\ngone.jpg,tom,,\n"
    )

    dataset, report = load_dataset(manifest)

    assert [(i.label, i.split, i.group) for i in dataset.items] == [
        ("tom", "test", "g"),
        ("tom", None, None),
    ]
    (gone,) = report.unreadable
    assert (gone.path.name, gone.reason) == ("gone.jpg", "No such file or directory")


def test_the_digest_follows_content_not_names(tmp_path: Path) -> None:
    """Renaming a file changes nothing; another label does."""
    before, _ = load_dataset(make_folders(tmp_path / "a", {"cat": 2, "dog": 1}))
    renamed = make_folders(tmp_path / "b", {"cat": 2, "dog": 1})
    (renamed / "cat/000.jpg").rename(renamed / "cat/zzz.jpg")
    moved = make_folders(tmp_path / "c", {"cat": 2, "dog": 1})
    (moved / "cat/000.jpg").rename(moved / "dog/zzz.jpg")

    assert load_dataset(renamed)[0].digest == before.digest
    assert load_dataset(moved)[0].digest != before.digest


def test_progress_is_told_for_every_image(tmp_path: Path) -> None:
    """In order, up to the total."""
    calls: list[tuple[int, int]] = []

    load_dataset(
        make_folders(tmp_path, {"cat": 3}),
        on_progress=lambda done, total: calls.append((done, total)),
    )

    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no such file or folder"), ("data.json", r"ends in \.csv or \.parquet")],
)
def test_what_is_no_source_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """With what a source may be."""
    (tmp_path / "data.json").write_text("[]")

    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / name)


def test_a_source_without_a_usable_image_is_refused(tmp_path: Path) -> None:
    """The first reason is given."""
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/a.jpg").write_bytes(b"")

    with pytest.raises(DataError, match=r"none of 1 images can be used; the first: .*0 bytes"):
        load_dataset(tmp_path)


def test_a_broken_file_of_classes_is_found_before_any_image_is_read(tmp_path: Path) -> None:
    """Reading thousands of images first would be an hour too late."""
    calls: list[int] = []
    classes = tmp_path / "classes.toml"
    classes.write_text("[[class")

    with pytest.raises(ConfigError, match="not valid TOML"):
        load_dataset(
            make_folders(tmp_path / "data", {"cat": 1}),
            classes_file=classes,
            on_progress=lambda done, _: calls.append(done),
        )
    assert calls == []


def test_images_share_a_unit_that_are_identical_or_of_one_group() -> None:
    """Directly or through others, whatever their class, domain and order."""
    chained = [("1", "g"), ("1", None), ("2", "g"), ("2", "h"), ("3", "h")]
    others = [("4", None), ("5", None), ("4", None), ("6", "i")]
    items = [_item(content, group) for content, group in (*chained, *others)]
    units_N = unit_indices(items)
    assert len(set(units_N[:5])) == 1
    assert units_N[5] == units_N[7]
    assert len(set(units_N[4:])) == 4
    np.testing.assert_array_equal(unit_indices(items[::-1]), units_N[::-1])


def test_units_of_single_images_are_in_the_order_of_their_digests() -> None:
    """Pinned: rounds of selection follow it."""
    assert unit_indices([_item(content, None) for content in "bdac"]).tolist() == [1, 3, 0, 2]


def _item(content: str, group: str | None) -> Item:
    return Item(
        path=Path(content),
        label=f"class {content}",
        domain=None,
        split=None,
        group=group,
        digest=f"sha256:{content}",
    )
