"""Which folders a protocol expects below its root, and what is wrong with those that are there."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.class_names import listed


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """One folder of class folders."""

    name: str
    """The set of images that it holds."""
    path: str
    """Below the root, such as ``imagenet/val``."""
    what: str
    """Which data set this is, for people."""
    shown: str = "<class>"
    """What its class folders are called, for people."""
    classes: tuple[str, ...] = ()
    """Class folders that must be there."""
    count: int | None = None
    """How many class folders there must be, where that is known and matters."""
    among: frozenset[str] | None = None
    """Names that class folders may have; None: any."""
    parts: tuple[tuple[str, ...], ...] = ()
    """Folders that may stand between the path and the classes: the first tuple of which all are
    there counts."""

    def places(self, root: Path) -> list[Path]:
        """Return the folders that hold the class folders: one, or each of its parts."""
        folder = root / self.path
        for names in self.parts:
            if all((folder / name).is_dir() for name in names):
                return [folder / name for name in names]
        return [folder]

    def problem(self, root: Path) -> str | None:
        """Say what is missing or wrong, in one line; None if nothing is."""
        wrong = self._wrong(root)
        return None if wrong is None else f"{self.path}/{self.shown}/ ({self.what}): {wrong}"

    def _wrong(self, root: Path) -> str | None:
        if not (root / self.path).is_dir():
            return "no such folder"
        found = {name for place in self.places(root) for name in subfolders(place)}
        if lacking := [name for name in self.classes if name not in found]:
            return f"without the folders {listed(lacking)}"
        if self.among is not None and (strange := sorted(found - self.among)):
            return f"no classes of ImageNet: {listed(strange)}"
        if self.count is not None and len(found) != self.count:
            return f"{len(found)} class folders in place of {self.count}"
        return None if found else "no class folder in it"


def subfolders(folder: Path) -> list[str]:
    """Return the names of a folder's visible folders, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def problems(root: Path, expected: Sequence[Expected]) -> list[str]:
    """Return what is missing or wrong, a line a folder."""
    return [wrong for folder in expected if (wrong := folder.problem(root)) is not None]
