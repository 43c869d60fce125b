"""CSV and Parquet manifests: columns, paths, and rows that are refused by number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import DataError
from training.listing import Entry
from training.manifest_files import list_manifest


def _csv(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    """All five columns, empty cells as None, whole numbers as labels."""
    rows = {
        "path": ["a.jpg", "sub/b.jpg"],
        "label": [3, 4],
        "domain": ["photo", "sketch"],
        "split": ["train", None],
        "group": [None, "g1"],
    }
    pq.write_table(pa.table(rows), tmp_path / "data.parquet")
    text = "path,label,domain,split,group\na.jpg,3,photo,train,\nsub/b.jpg,4,sketch,,g1\n"

    from_csv = list_manifest(_csv(tmp_path, text)).entries

    assert from_csv == list_manifest(tmp_path / "data.parquet").entries
    assert from_csv == (
        Entry(path=tmp_path / "a.jpg", label="3", domain="photo", split="train"),
        Entry(path=tmp_path / "sub/b.jpg", label="4", domain="sketch", group="g1"),
    )


def test_a_spreadsheets_csv_is_read(tmp_path: Path) -> None:
    """A byte-order mark, CRLF, quotes and blanks around cells; other columns are noted."""
    listing = list_manifest(
        _csv(tmp_path, '\ufeffpath,label,width\r\n"a, b.jpg", ice cream ,640\r\n')
    )

    assert listing.entries == (Entry(path=tmp_path / "a, b.jpg", label="ice cream"),)
    assert listing.notes == ("Columns of the manifest not read: width.",)


def test_absolute_paths_are_kept(tmp_path: Path) -> None:
    """Images need not lie near the manifest."""
    (entry,) = list_manifest(_csv(tmp_path, "path,label\n/images/a.jpg,cat\n")).entries

    assert entry.path == Path("/images/a.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.jpg,cat\n", "missing: path; found: file, label"),
        ("", "missing: path, label; found: none"),
        ("path,label\n", "names no image"),
        ("path,label\na.jpg,cat\nb.jpg,\n", "row 2 .*needs a path and a label, got path=b.jpg"),
        ("path,label\na.jpg\n", "row 1 .*needs a path and a label"),
        ("path,label,split\na.jpg,cat,val\n", "row 1: `split` must be one of train, select, cal"),
        ("path,label\na.jpg,cat\nb.jpg,cat\na.jpg,dog\n", "row 3 names .*a.jpg again, which row 1"),
        ("path,label,domain\na,cat,photo\nb,cat,\n", "every row has a `domain` or none.*: 2"),
        ('path,label\n"a.jpg,cat\n', "not a readable UTF-8 CSV"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file, the row and what is allowed."""
    with pytest.raises(DataError, match=rf"data\.csv: .*{message}"):
        list_manifest(_csv(tmp_path, text))


def test_a_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """Labels are never guessed."""
    path = tmp_path / "data.csv"
    path.write_bytes("path,label\na.jpg,Käse\n".encode("latin-1"))

    with pytest.raises(DataError, match="not a readable UTF-8 CSV"):
        list_manifest(path)


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    """Whatever its extension says."""
    path = tmp_path / "data.parquet"
    path.write_bytes(b"PAR1 not really")

    with pytest.raises(DataError, match="not a readable Parquet file"):
        list_manifest(path)
