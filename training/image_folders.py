"""``class/image`` and ``domain/class/image`` folders; the depth says which."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from models.errors import DataError
from training.class_names import listed
from training.listing import Entry, Listing

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"}
)
"""Extensions taken for images, in any case. Whether one decodes is found out later."""

_DEEPEST: Final = 6  # levels below the root: a symbolic link that leads back up ends here
_SPLIT_NAMES: Final = frozenset({"train", "training", "val", "valid", "validation", "test"})


def list_folders(root: Path) -> Listing:
    """List the images below ``root``.

    Raises:
        DataError: no image, or images at depths that are neither layout; says what was seen.
    """
    files = sorted(_walk(root))
    images = [file for file in files if file.suffix.lower() in SUFFIXES and not _hidden(file)]
    ignored = Counter(_kind(file) for file in files if file not in set(images))
    depth = _depth(root, images, ignored)
    entries = tuple(
        Entry(path=root / file, label=file.parts[-2], domain=file.parts[0] if depth == 3 else None)
        for file in images
    )
    return Listing(
        root=root,
        entries=entries,
        ignored=ignored,
        empty=_empty(root, entries, depth),
        notes=_notes(entries),
    )


def _walk(root: Path) -> Iterator[Path]:
    """Yield every file below ``root``, relative to it; a hidden folder counts as one file."""
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder).relative_to(root)
        yield from (here / name for name in (*files, *filter(_hidden_name, folders)))
        visible = [name for name in folders if not _hidden_name(name)]
        folders[:] = visible if len(here.parts) < _DEEPEST else []


def _hidden_name(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _hidden(file: Path) -> bool:
    return _hidden_name(file.name)


def _kind(file: Path) -> str:
    return "hidden" if _hidden(file) else file.suffix.lower() or "no extension"


def _depth(root: Path, images: Sequence[Path], ignored: Counter[str]) -> int:
    by_depth: dict[int, list[Path]] = {}
    for file in images:
        by_depth.setdefault(len(file.parts), []).append(file)
    if set(by_depth) in ({2}, {3}):
        return next(iter(by_depth))
    wanted = (
        "Images must lie in class folders (cat/1.jpg) or domain/class folders (photo/cat/1.jpg)"
    )
    if not images:
        seen = ", ".join(f"{n} {kind}" for kind, n in sorted(ignored.items())) or "no file"
        raise DataError(
            f"{root}: no image found. {wanted}; extensions read: {', '.join(sorted(SUFFIXES))}; "
            f"found: {seen}."
        )
    seen = "; ".join(
        f"{len(files)} at depth {depth}, such as {files[0].as_posix()}"
        for depth, files in sorted(by_depth.items())
    )
    raise DataError(
        f"{root}: {wanted}, all at one depth. Found {seen}. Move them, or write a manifest "
        "(a CSV file with the columns path,label)."
    )


def _empty(root: Path, entries: Sequence[Entry], depth: int) -> tuple[str, ...]:
    folders = root.glob("/".join("*" * (depth - 1)))
    names = {f.name for f in folders if f.is_dir() and not _hidden(f)}
    return tuple(sorted(names - {entry.label for entry in entries}))


def _notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    domains = {entry.domain for entry in entries if entry.domain is not None}
    labels = [label for _, label in {(entry.domain, entry.label) for entry in entries}]
    if domains and domains <= _SPLIT_NAMES:
        return (
            f"The folders {listed(sorted(domains))} were read as domains, not as a split; "
            "a manifest with a `split` column says which image is for what.",
        )
    if len(domains) > 1 and len(labels) == len(set(labels)):
        return (
            f"Read as domain/class folders, but no class is in two of the domains "
            f"{listed(sorted(domains))}. If these are the classes, move their images up a level.",
        )
    return ()
