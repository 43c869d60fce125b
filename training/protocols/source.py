"""The images below a root: each folder is listed once, each image that is used is read once."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.errors import DataError
from training.class_names import listed
from training.data import Item, check_files
from training.image_folders import SUFFIXES
from training.listing import Entry
from training.progress import bar
from training.protocols.folders import Expected


class Source:
    """Lists and reads; images that no trial uses are neither opened nor hashed."""

    def __init__(self, root: Path) -> None:
        """Remember nothing yet."""
        self.root = root
        self._files: dict[Path, tuple[Path, ...]] = {}
        self._items: dict[Path, Item] = {}

    def entries(
        self, folder: Expected, name: str, *, label: str | None = None, domain: str | None = None
    ) -> list[Entry]:
        """Return the images of one class folder, sorted.

        Args:
            folder: holds the class folder.
            name: the class folder's.
            label: the class, if it is called otherwise.
            domain: of the images.

        Raises:
            DataError: there is none.
        """
        places = [place / name for place in folder.places(self.root)]
        paths = [path for place in places for path in self._list(place)]
        if not paths:
            raise DataError(f"{places[0]}: no image ({folder.what}).")
        return [Entry(path=path, label=label or name, domain=domain) for path in paths]

    def read(self, entries: Sequence[Entry]) -> tuple[Item, ...]:
        """Read, hash and decode what was not read before.

        Raises:
            DataError: a file cannot be read: with others in its place it is another protocol.
        """
        new = list({e.path: e for e in entries if e.path not in self._items}.values())
        if new:
            with bar("reading images", "image") as progress:
                items, unreadable = check_files(new, progress)
            if unreadable:
                named = [f"{one.path} ({one.reason})" for one in unreadable]
                raise DataError(
                    f"{len(named)} of {len(new)} images cannot be read: {listed(named, limit=3)}. "
                    "A protocol is about all of them: put whole files in their place."
                )
            self._items |= {item.path: item for item in items}
        return tuple(replace(self._items[e.path], label=e.label, domain=e.domain) for e in entries)

    def _list(self, folder: Path) -> tuple[Path, ...]:
        if folder not in self._files:
            self._files[folder] = _images(folder)
        return self._files[folder]


def _images(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    with os.scandir(folder) as found:
        names = sorted(e.name for e in found if not e.name.startswith("."))
    return tuple(folder / n for n in names if os.path.splitext(n)[1].lower() in SUFFIXES)
