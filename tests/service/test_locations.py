"""A path is a bundle, a folder of versions, or a folder of such folders."""

import json
from pathlib import Path

import pytest

from models.bundle import MANIFEST
from models.encoder import file_digest
from models.errors import BundleCorrupt, BundleMissing
from service.locations import locate


def _described(bundle_path: Path, directory: Path, **changes: str) -> Path:
    """Write a directory that holds no more of a bundle than what is looked at here."""
    fields = json.loads((bundle_path / MANIFEST).read_text())
    directory.mkdir(parents=True)
    (directory / MANIFEST).write_text(json.dumps(fields | changes))
    return directory


def _paths(*paths: Path) -> list[Path]:
    return [location.path for location in locate(paths)]


def test_a_bundle_is_itself(bundle_path: Path) -> None:
    """Its digest is that of the file that describes it."""
    (location,) = locate([bundle_path])
    assert location.path == bundle_path
    assert location.digest == file_digest(bundle_path / MANIFEST)


def test_of_numbered_versions_the_largest_number_is_the_newest(
    bundle_path: Path, tmp_path: Path
) -> None:
    """10 comes after 9, whenever it was created."""
    for version in ("1", "9", "10"):
        created = "2026-01-01" if version == "10" else "2026-06-01"
        _described(bundle_path, tmp_path / version, version=version, created=created)
    assert _paths(tmp_path) == [tmp_path / "10"]


def test_of_named_versions_the_last_created_is_the_newest(
    bundle_path: Path, tmp_path: Path
) -> None:
    """Neither the alphabet nor the one number among them decides."""
    for version, created in (("winter", "2026-01-01"), ("autumn", "2026-09-01"), ("7", "2026-05")):
        _described(bundle_path, tmp_path / version, version=version, created=created)
    assert _paths(tmp_path) == [tmp_path / "autumn"]


def test_a_folder_of_folders_gives_each_name_once(bundle_path: Path, tmp_path: Path) -> None:
    """In the order of names; drafts of a training that runs, and other files, are none."""
    for name in ("pets", "cars"):
        for version in ("1", "2"):
            _described(bundle_path, tmp_path / name / version, name=name, version=version)
    _described(bundle_path, tmp_path / "pets" / ".3.x7", name="pets", version="3")
    (tmp_path / "pets" / "notes.txt").write_text("x")
    assert _paths(tmp_path) == [tmp_path / "cars" / "2", tmp_path / "pets" / "2"]


def test_an_older_version_is_served_by_its_path(bundle_path: Path, tmp_path: Path) -> None:
    """Beside the newest, and in the order given; what is meant twice is there once."""
    for version in ("1", "2", "3"):
        _described(bundle_path, tmp_path / version, version=version)
    one, three = tmp_path / "1", tmp_path / "3"
    assert _paths(one, tmp_path) == [one, three]
    assert _paths(tmp_path, one, three) == [three, one]


def test_a_link_is_what_it_points_to(bundle_path: Path, tmp_path: Path) -> None:
    """A folder with ``current -> 2`` holds two versions, and not three."""
    for version in ("1", "2"):
        _described(bundle_path, tmp_path / "pets" / version, version=version)
    link = tmp_path / "pets" / "current"
    link.symlink_to("1")
    assert _paths(link, tmp_path / "pets" / "1", tmp_path) == [link, tmp_path / "pets" / "2"]


def test_a_folder_without_bundles_is_named(bundle_path: Path, tmp_path: Path) -> None:
    """Also when bundles lie deeper than is looked."""
    _described(bundle_path, tmp_path / "a" / "b" / "c")
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path, tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(BundleMissing, match=f"^{folder}: no bundle there .*folder of such"):
            locate([folder])


def test_a_broken_version_is_never_passed_over(bundle_path: Path, tmp_path: Path) -> None:
    """The newest may be the broken one: serving an older one in silence would hide it."""
    _described(bundle_path, tmp_path / "1", version="1")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / MANIFEST).write_text("{")
    with pytest.raises(BundleCorrupt, match=r"2/bundle\.json: not valid JSON"):
        locate([tmp_path])
