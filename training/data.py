"""DATA -> a checked data set: every image was read, hashed and decoded before training begins."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.decode import decode
from models.embed import usable_cores
from models.errors import DataError, ImageError
from training.class_names import ClassSpec, read_classes, resolve_classes
from training.data_report import Conflict, DataReport, Unreadable, count_images
from training.image_folders import list_folders
from training.listing import Entry, Listing
from training.manifest_files import list_manifest

# Axes: N images.

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""

_DRAFT = 256  # a JPEG decoded at a smaller scale is still read to its end, and several times faster


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One usable image."""

    path: Path
    """Where the file is."""
    label: str
    """Name of its class."""
    domain: str | None
    """Its style or source; None throughout a data set without domains."""
    split: str | None
    """The part the manifest puts it in, if it says so."""
    group: str | None
    """Images of one group are never torn apart."""
    digest: str
    """``sha256:...`` of the file's bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Usable images and their classes."""

    items: tuple[Item, ...]
    """Sorted by path."""
    classes: tuple[ClassSpec, ...]
    """In index order."""
    root: Path
    """The folder that the images lie below, or that of the manifest."""
    digest: str
    """``sha256:...`` of contents, labels, domains, splits and groups; file names do not matter."""

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of the domains, sorted; empty when the data has none."""
        return tuple(sorted({item.domain for item in self.items if item.domain is not None}))

    def labels(self, items: Sequence[Item]) -> NDArray[np.int64]:
        """Return the class index of each item, shape (N,)."""
        return label_indices(items, self.classes)


def label_indices(items: Sequence[Item], classes: Sequence[ClassSpec]) -> NDArray[np.int64]:
    """Return each image's class as an index into the classes, (N,)."""
    index = {spec.name: i for i, spec in enumerate(classes)}
    return np.array([index[item.label] for item in items], dtype=np.int64)


def domain_indices(items: Sequence[Item]) -> NDArray[np.int64] | None:
    """Return each image's domain as an index into the sorted names, (N,); None without domains."""
    if all(item.domain is None for item in items):
        return None
    names = np.array([item.domain or "" for item in items])
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def unit_indices(items: Sequence[Item]) -> NDArray[np.int64]:
    """Return an index (N,) that images share which `unit_names` keeps together."""
    names = np.array(unit_names(items))
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def unit_names(items: Sequence[Item]) -> list[str]:
    """Return a name for each image; those that share a digest or a group have the same.

    Directly or through others (union-find): it is the first of all their groups and digests.
    """
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for item in items:
        if item.group is not None:
            first, second = sorted((find(item.digest), find(f"group {item.group}")))
            parent[second] = first
    return [find(item.digest) for item in items]


def load_dataset(
    source: Path,
    *,
    classes_file: Path | None = None,
    on_progress: Progress | None = None,
) -> tuple[Dataset, DataReport]:
    """Read class folders, domain/class folders or a manifest, and check every image.

    Files that do not decode and identical files with different labels are left out and reported.

    Args:
        source: a folder, or a ``.csv`` or ``.parquet`` manifest.
        classes_file: a ``classes.toml`` that fixes order, display names and prompts.
        on_progress: called after each image.

    Raises:
        DataError: the source cannot be understood or holds no usable image.
        ConfigError: the file of classes is wrong.
    """
    if classes_file is not None:
        read_classes(classes_file)  # here, before every image is read
    listing = _list(source)
    readable, unreadable = check_files(listing.entries, on_progress)
    items, conflicts = _without_conflicts(readable)
    if not items:
        why = f"; the first: {unreadable[0].path}: {unreadable[0].reason}" if unreadable else ""
        raise DataError(f"{source}: none of {len(listing.entries)} images can be used{why}.")
    classes = resolve_classes({item.label for item in items}, path=classes_file)
    names = [spec.name for spec in classes]
    lost = {entry.label for entry in listing.entries} - set(names)
    report = DataReport(
        root=listing.root,
        counts=count_images(names, [(item.label, item.domain) for item in items]),
        empty=tuple(sorted({*listing.empty, *lost})),
        unreadable=unreadable,
        duplicates=_duplicates(items),
        conflicts=conflicts,
        ignored=dict(sorted(listing.ignored.items())),
        notes=listing.notes,
    )
    dataset = Dataset(items=items, classes=classes, root=listing.root, digest=digest_of(items))
    return dataset, report


def _list(source: Path) -> Listing:
    if source.is_dir():
        return list_folders(source)
    if not source.exists():
        raise DataError(f"{source}: no such file or folder.")
    if source.suffix.lower() in (".csv", ".parquet"):
        return list_manifest(source)
    raise DataError(
        f"{source}: data is a folder of class folders or a manifest that ends in .csv or .parquet."
    )


def check_files(
    entries: Sequence[Entry], on_progress: Progress | None = None
) -> tuple[list[Item], tuple[Unreadable, ...]]:
    """Read, hash and decode every file, on all cores (Pillow releases the interpreter's lock)."""
    items: list[Item] = []
    unreadable: list[Unreadable] = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for done, result in enumerate(pool.map(_check_one, entries), start=1):
            if isinstance(result, Item):
                items.append(result)
            else:
                unreadable.append(result)
            if on_progress is not None:
                on_progress(done, len(entries))
    return items, tuple(unreadable)


def _check_one(entry: Entry) -> Item | Unreadable:
    try:
        data = entry.path.read_bytes()
        decode(data, draft=_DRAFT)
    except OSError as error:
        return Unreadable(path=entry.path, reason=error.strerror or str(error))
    except ImageError as error:
        return Unreadable(path=entry.path, reason=str(error))
    return Item(
        path=entry.path,
        label=entry.label,
        domain=entry.domain,
        split=entry.split,
        group=entry.group,
        digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
    )


def _by_digest(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.digest, []).append(item)
    return found


def _without_conflicts(items: Sequence[Item]) -> tuple[tuple[Item, ...], tuple[Conflict, ...]]:
    """Leave out identical files that carry different labels: nobody knows which is right."""
    conflicts = {
        digest: Conflict(labelled=tuple((item.path, item.label) for item in same))
        for digest, same in _by_digest(items).items()
        if len({item.label for item in same}) > 1
    }
    kept = tuple(item for item in items if item.digest not in conflicts)
    return kept, tuple(conflicts.values())


def _duplicates(items: Sequence[Item]) -> tuple[tuple[Path, ...], ...]:
    same = (found for found in _by_digest(items).values() if len(found) > 1)
    return tuple(tuple(item.path for item in found) for found in same)


def digest_of(items: Sequence[Item]) -> str:
    """Return ``sha256:...`` of contents, labels, domains, splits and groups, in any order."""
    lines = sorted(repr((i.digest, i.label, i.domain, i.split, i.group)) for i in items)
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()
