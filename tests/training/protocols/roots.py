"""Data roots with the layouts of the real data sets, of images of one pixel."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from training.protocols.domains import PACS, VLCS

_COLOURS = count()

WNIDS = [f"n{index:08}" for index in range(1000)]
SMALL_SETS = {"imagenet-a": WNIDS[::5], "imagenet-r": WNIDS[3::5]}


def pixel() -> bytes:
    """Return a BMP of one pixel whose colour no other has."""
    size, offset = 58, 54
    head = struct.pack("<2sIHHI", b"BM", size, 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, 2835, 2835, 0, 0)
    return head + info + struct.pack("<I", next(_COLOURS))


def fill(folder: Path, classes: Iterable[str], images: int) -> None:
    """Write images ``0.bmp``, ``1.bmp`` ... into each class folder."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(images):
            (folder / name / f"{index}.bmp").write_bytes(pixel())


def imagenet_root(root: Path, *, train: int = 3, val: int = 2) -> Path:
    """Write a root of Setup-I."""
    fill(root / "imagenet" / "train", WNIDS, train)
    fill(root / "imagenet" / "val", WNIDS, val)
    fill(root / "sketch", WNIDS, 1)
    fill(root / "imagenetv2-matched-frequency-format-val", map(str, range(1000)), 1)
    for name, wnids in SMALL_SETS.items():
        fill(root / name, wnids, 1)
    return root


def domain_root(root: Path, *, images: int = 8, part: str = "") -> Path:
    """Write a root of both of Setup-II; ``part`` stands between VLCS's domains and classes."""
    for domain in PACS.domains:
        fill(root / "PACS" / domain, PACS.classes, images)
    for domain in VLCS.domains:
        fill(root / "VLCS" / domain / part, VLCS.classes, images)
    fill(root / "dtd" / "images", ["banded", "woven"], 120)
    fill(root / "food-101" / "images", ["bibimbap", "sushi"], 10)
    caltech = {name for data in (PACS, VLCS) for name in data.overlap.folders}
    caltech |= {"Leopards", "accordion", "garfield", "wild_cat"}
    fill(root / "101_ObjectCategories", caltech, 3)
    return root
