"""What is unknown in Setup-II: textures, dishes, objects, without what the known classes cover."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from training.data import Item
from training.listing import Entry
from training.progress import say
from training.protocols.draw import drawn, shuffled
from training.protocols.folders import Expected, subfolders
from training.protocols.protocol import Draw
from training.protocols.source import Source

PER_CLASS: Final = 100
"""Images of an unknown class, at most."""

FOLDERS: Final = (
    Expected(name="dtd", path="dtd/images", what="DTD, 47 folders"),
    Expected(name="food-101", path="food-101/images", what="Food-101, 101 folders"),
    Expected(name="caltech-101", path="101_ObjectCategories", what="Caltech-101, 102 folders"),
)
"""The three sets."""

_WHOLE: Final = {"dtd": 47, "food-101": 101, "caltech-101": 102}

LOST_BY_RENAMING: Final = frozenset(
    {"BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "Motorbikes", "airplanes"}
)
"""Folders of Caltech-101 that no published figure has among the unknown: the split file has other
names for four of them, which the published code's list of classes to keep does not know, and has
not the other two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Folders of Caltech-101 that are not unknown, because of the known classes."""

    because: Mapping[str, tuple[str, ...]]
    """From what they show to their names."""
    published: frozenset[str]
    """What the published code leaves out."""

    @property
    def folders(self) -> frozenset[str]:
        """Their names."""
        return frozenset(name for names in self.because.values() for name in names)


def unknown_sets(
    source: Source, draw: Draw, seed: int, overlap: Overlap
) -> dict[str, tuple[Item, ...]]:
    """Return the unknown sets that are wanted, by name."""
    left_out = overlap.published | LOST_BY_RENAMING if draw.as_published else overlap.folders
    return {
        folder.name: source.read(_entries(source, draw, seed, folder, left_out))
        for folder in FOLDERS
        if folder.name in draw.sets
    }


def say_incomplete(source: Source, draw: Draw) -> None:
    """Tell of sets with fewer classes than the data set has: a protocol on a part of it."""
    for folder in FOLDERS:
        found, whole = len(subfolders(source.root / folder.path)), _WHOLE[folder.name]
        if folder.name in draw.sets and found < whole:
            say(f"  {folder.path} has {found} class folders; the whole of it has {whole}.")


def _entries(
    source: Source, draw: Draw, seed: int, folder: Expected, left_out: Collection[str]
) -> list[Entry]:
    removed = left_out if folder.name == "caltech-101" else ()
    names = [n for n in subfolders(source.root / folder.path) if n not in removed]
    entries: list[Entry] = []
    for name in names:
        images = source.entries(folder, name)
        entries += _published_part(images, draw, seed) if draw.as_published else images
    return drawn(entries, PER_CLASS, seed=seed)


def _published_part(images: list[Entry], draw: Draw, seed: int) -> list[Entry]:
    """Return what the published code keeps: the few training and validation images that a method
    would be given of the class, were it known, and all test images of a split 50:20:30."""
    order = shuffled(images, f"split {seed}")
    train, val = round(0.5 * len(order)), round(0.2 * len(order))
    return [
        *order[: min(train, draw.shots)],
        *order[train : train + min(val, draw.shots, 4)],
        *order[train + val :],
    ]
