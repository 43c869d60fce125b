"""CSV and Parquet manifests: ``path,label[,domain][,split][,group]``, a row for each image."""

import csv
import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.errors import DataError
from training.class_names import listed
from training.listing import Entry, Listing

PARTS: Final = ("train", "select", "calibrate", "test")
"""What a ``split`` column may say."""

_REQUIRED: Final = ("path", "label")
_COLUMNS: Final = (*_REQUIRED, "domain", "split", "group")


def list_manifest(path: Path) -> Listing:
    """List the images that a manifest names; relative paths are relative to the manifest.

    Raises:
        DataError: not readable, a column is missing, or a row is wrong; names the row.
    """
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    columns, rows = read(path)
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise DataError(
            f"{path}: the columns `path` and `label` are needed (and `domain`, `split`, `group` "
            f"understood); missing: {listed(missing)}; found: {listed(columns)}."
        )
    entries = [_entry(row, path, number) for number, row in enumerate(rows, start=1)]
    if not entries:
        raise DataError(f"{path}: names no image. Write one row for each, below the header.")
    _check_paths(entries, path)
    _check_domains(entries, path)
    unread = [name for name in columns if name not in _COLUMNS]
    notes = (f"Columns of the manifest not read: {listed(unread)}.",) if unread else ()
    return Listing(
        root=path.parent,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        notes=notes,
    )


def _read_csv(path: Path) -> tuple[Sequence[str], list[Mapping[str, object]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows: list[Mapping[str, object]] = list(reader)
            return list(reader.fieldnames or ()), rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable UTF-8 CSV file: {error}.") from error


def _read_parquet(path: Path) -> tuple[Sequence[str], list[Mapping[str, object]]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet needs pyarrow: pip install pyarrow. A CSV file works without."
        ) from error
    try:
        names: list[str] = parquet.read_schema(path).names
        rows: Iterable[Mapping[str, object]] = parquet.read_table(
            path, columns=[name for name in _COLUMNS if name in names]
        ).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        raise DataError(f"{path}: not a readable Parquet file: {error}.") from error
    return names, list(rows)


def _entry(row: Mapping[str, object], manifest: Path, number: int) -> Entry:
    cells = {name: _text(row.get(name)) for name in _COLUMNS}
    path, label, part = cells["path"], cells["label"], cells["split"]
    if path is None or label is None:
        raise DataError(
            f"{manifest}: row {number} (below the header) needs a path and a label, got "
            f"path={path}, label={label}."
        )
    if part is not None and part not in PARTS:
        raise DataError(
            f"{manifest}: row {number}: `split` must be one of {', '.join(PARTS)}, or empty for "
            f"Croft to choose; got {part!r}."
        )
    return Entry(
        path=manifest.parent / path,
        label=label,
        domain=cells["domain"],
        split=part,
        group=cells["group"],
    )


def _text(cell: object) -> str | None:
    return None if cell is None else str(cell).strip() or None


def _check_paths(entries: Sequence[Entry], manifest: Path) -> None:
    first: dict[Path, int] = {}
    for number, entry in enumerate(entries, start=1):
        if first.setdefault(entry.path, number) != number:
            raise DataError(
                f"{manifest}: row {number} names {entry.path} again, which row "
                f"{first[entry.path]} has; each image needs one row and one label."
            )


def _check_domains(entries: Sequence[Entry], manifest: Path) -> None:
    without = [number for number, entry in enumerate(entries, start=1) if entry.domain is None]
    if without and len(without) < len(entries):
        raise DataError(
            f"{manifest}: either every row has a `domain` or none; rows without: "
            f"{listed([str(number) for number in without])}."
        )
