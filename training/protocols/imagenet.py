"""Setup-I: 400 of ImageNet's classes are known, images of the others are not.

The published code draws the known classes from one list of names after seeding NumPy, so that each
seed has its own, and trains on some images of each. What it does besides, and is done here only
on request (`as_published`):

- two classes are called missile and two sunglasses, and it takes both of a pair for one as soon as
  one of them is drawn: here a known class has a name of its own, and its namesake's images are
  neither known nor unknown;
- it chooses the epoch, and judges detection, on four images a class that are part of the test: here
  the images to choose by are training images, and all known images are judged;
- it means to keep 1000 unknown images of each class, which are all, and keeps 1000 of all
  classes together, because they share one label: here all are kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

from training.class_names import ClassSpec
from training.data import Item
from training.listing import Entry
from training.protocols.draw import drawn, others, without_copies
from training.protocols.folders import Expected, subfolders
from training.protocols.protocol import SELECT, Draw, Protocol
from training.protocols.source import Source
from training.trial import Trial

CLASSES: Final = 1000
KNOWN: Final = 400
UNKNOWN: Final = "imagenet-600"
"""The set of validation images of the other classes."""

TEMPLATES: Final = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The seven that CLIP's authors name as a good choice for ImageNet; a class's are averaged."""

_TRAIN: Final = "imagenet/train"
_SHIFTS: Final[tuple[str, ...]] = ("imagenetv2", "sketch", "imagenet-a", "imagenet-r")
_PUBLISHED_UNKNOWN: Final = 1000


def expected(root: Path) -> list[Expected]:
    """Return the folders below the root; those of the training images say what classes are."""
    wnids = tuple(subfolders(root / _TRAIN))
    whole = wnids if len(wnids) == CLASSES else ()
    among = frozenset(whole) or None

    def folder(name: str, path: str, what: str, count: int, shown: str = "<wnid>") -> Expected:
        return Expected(
            name=name, path=path, what=what, shown=shown, count=count, among=among,
            classes=whole if count == CLASSES else (),
        )  # fmt: skip

    return [
        folder("train", _TRAIN, "ImageNet's training images, 1000 folders", CLASSES),
        folder("imagenet", "imagenet/val", "ImageNet's validation images, 1000 folders", CLASSES),
        Expected(
            name="imagenetv2",
            path="imagenetv2-matched-frequency-format-val",
            what="ImageNetV2, folders 0 to 999",
            shown="<0..999>",
            classes=tuple(str(index) for index in range(CLASSES)),
        ),
        folder("sketch", "sketch", "ImageNet-Sketch, 1000 folders", CLASSES),
        folder("imagenet-a", "imagenet-a", "ImageNet-A, 200 folders", 200),
        folder("imagenet-r", "imagenet-r", "ImageNet-R, 200 folders", 200),
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """Which classes are known."""

    known: Mapping[str, str]
    """From the folder of a known class to the folder that it counts as."""
    unknown: tuple[str, ...]
    """Folders of the other classes."""


def divide(wnids: list[str], seed: int, *, as_published: bool) -> Division:
    """Draw the known classes.

    Args:
        wnids: all 1000, sorted: the order of the list of names.
        seed: what the published code seeds NumPy with.
        as_published: whether namesakes are one class.
    """
    name_of = dict(zip(wnids, IMAGENET_CLASSNAMES, strict=True))
    # `choice` without replacement, which the published code calls, is the start of this.
    order = [wnids[i] for i in np.random.RandomState(seed).permutation(CLASSES)]
    first: dict[str, str] = {}
    for wnid in order[:KNOWN] if as_published else order:
        if len(first) < KNOWN:
            first.setdefault(name_of[wnid], wnid)
    unknown = tuple(wnid for wnid in wnids if name_of[wnid] not in first)
    if as_published:
        known = {wnid: first[name_of[wnid]] for wnid in wnids if name_of[wnid] in first}
    else:
        known = {wnid: wnid for wnid in sorted(first.values())}
    return Division(known=known, unknown=unknown)


def specs(wnids: list[str], division: Division) -> tuple[ClassSpec, ...]:
    """Return the known classes, named by their folders and read by their names."""
    name_of = dict(zip(wnids, IMAGENET_CLASSNAMES, strict=True))
    return tuple(
        ClassSpec(
            name=wnid,
            display_name=name_of[wnid],
            prompts=tuple(template.format(name_of[wnid]) for template in TEMPLATES),
        )
        for wnid in sorted(set(division.known.values()))
    )


def trials(source: Source, draw: Draw) -> Iterator[Trial]:
    """Yield a trial for each seed."""
    folders = {folder.name: folder for folder in expected(source.root)}
    wnids = subfolders(source.root / _TRAIN)
    for seed in draw.seeds:
        yield _trial(source, draw, seed, folders, wnids)


def _trial(
    source: Source, draw: Draw, seed: int, folders: Mapping[str, Expected], wnids: list[str]
) -> Trial:
    division = divide(wnids, seed, as_published=draw.as_published)
    pool = _known(source, folders["train"], division, wnids)
    train = drawn(pool, draw.shots, seed=seed)
    known = {
        name: _known(source, folders[name], division, wnids)
        for name in ("imagenet", *_SHIFTS)
        if name == "imagenet" or name in draw.sets
    }
    rest = known["imagenet"] if draw.as_published else others(pool, train)
    select = drawn(rest, SELECT, seed=seed)
    if draw.as_published:
        known = {f"imagenet, {SELECT} a class": select, **known}
    trial = Trial(
        name="imagenet-400",
        seed=seed,
        classes=specs(wnids, division),
        train=source.read(train),
        select=source.read(select),
        known={name: source.read(entries) for name, entries in known.items()},
        unknown=_unknown(source, draw, seed, folders["imagenet"], division),
    )
    return trial if draw.as_published else without_copies(trial)


def _domain(folder: Expected) -> str:
    """Return where images are from: shifts from elsewhere than those trained on."""
    return "imagenet" if folder.name == "train" else folder.name


def _known(source: Source, folder: Expected, division: Division, wnids: list[str]) -> list[Entry]:
    """Return a set's images of known classes; ImageNet-A and -R have some of the classes only."""
    present = set(subfolders(source.root / folder.path))
    entries: list[Entry] = []
    for index, wnid in enumerate(wnids):
        name = str(index) if folder.name == "imagenetv2" else wnid
        if wnid in division.known and name in present:
            entries += source.entries(
                folder, name, label=division.known[wnid], domain=_domain(folder)
            )
    return entries


def _unknown(
    source: Source, draw: Draw, seed: int, folder: Expected, division: Division
) -> dict[str, tuple[Item, ...]]:
    if UNKNOWN not in draw.sets:
        return {}
    entries = [
        entry
        for wnid in division.unknown
        for entry in source.entries(folder, wnid, domain=_domain(folder))
    ]
    if draw.as_published:
        entries = drawn(entries, _PUBLISHED_UNKNOWN, seed=seed, kind=lambda _: "one label")
    return {UNKNOWN: source.read(entries)}


SETUP_1: Final = Protocol(
    name="setup1",
    summary="ImageNet: 400 classes known, 600 unknown; V2, Sketch, A and R as shifts",
    shots=(16, 1, 32),
    optional=(*_SHIFTS, UNKNOWN),
    expected=expected,
    draw=trials,
)
"""The paper's Setup-I."""
