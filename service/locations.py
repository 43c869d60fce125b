"""Where bundles lie: from the paths of the settings to bundle directories.

A path is a bundle, or a folder of versions as ``croft train --out`` writes them (``runs/PACS``
with ``1/`` and ``2/``), or a folder of such folders. Of a folder the newest version of each name
is taken; an older one is served by giving its own path.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from models.bundle import MANIFEST, read_manifest
from models.encoder import file_digest
from models.errors import BundleCorrupt, BundleMissing
from models.manifest import Manifest

T = TypeVar("T")

_DEPTH: Final = 2
"""How many folders below a path are looked into: names, and versions."""


@dataclass(frozen=True, slots=True)
class Location:
    """A bundle directory, and the digest of the file that describes it."""

    path: Path
    digest: str


def locate(paths: Sequence[Path]) -> list[Location]:
    """Return the bundle directories that these paths mean, each once.

    In the order of the paths; within a folder in the order of names.

    Raises:
        BundleMissing: a path with no bundle in or below it.
        BundleError: a ``bundle.json`` that cannot be read or believed.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            for directory in _below(path):
                found.setdefault(directory.resolve(), directory)
        except OSError as error:
            raise BundleCorrupt(
                f"{error.filename or path}: cannot be read: {error.strerror or error}."
            ) from error
    return [Location(path, file_digest(path / MANIFEST)) for path in found.values()]


def newest(versions: Iterable[T], manifest: Callable[[T], Manifest]) -> T:
    """Return the newest of the versions of one name.

    The largest number if every version is a number, else the last that was created.
    """
    candidates = list(versions)
    numbered = all(_is_number(manifest(item).version) for item in candidates)

    def age(item: T) -> tuple[int, str]:
        described = manifest(item)
        return int(described.version) if numbered else 0, described.created

    return max(candidates, key=age)


def _below(path: Path) -> list[Path]:
    if (path / MANIFEST).is_file():
        return [path]
    by_name: defaultdict[str, list[tuple[Path, Manifest]]] = defaultdict(list)
    for directory in _bundles(path, depth=_DEPTH):
        manifest = read_manifest(directory)
        by_name[manifest.name].append((directory, manifest))
    if not by_name:
        raise BundleMissing(
            f"{path}: no bundle there ({MANIFEST} not found, neither in it nor up to {_DEPTH} "
            "folders below). Give a directory that `croft train` wrote, or a folder of such."
        )
    return [newest(by_name[name], lambda item: item[1])[0] for name in sorted(by_name)]


def _bundles(folder: Path, *, depth: int) -> Iterator[Path]:
    if not folder.is_dir():
        return
    # A name with a dot in front is a draft of `croft train`, or a mount's own business.
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if (path / MANIFEST).is_file():
            yield path
        elif depth > 1:
            yield from _bundles(path, depth=depth - 1)


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit()
