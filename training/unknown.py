"""Images of things that should be refused: what exactly they show need not be known."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.errors import ConfigError, DataError
from training.class_names import listed, overlapping_names
from training.data import Item, check_files, load_dataset
from training.data_report import Unreadable
from training.image_folders import SUFFIXES
from training.listing import Entry

OTHER: Final = "other classes"
"""The set of those images of a data set whose class the bundle does not know."""


def named_folders(pairs: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=DIR`` flags.

    Raises:
        ConfigError: another form, or a name that is given twice or reserved.
        DataError: nothing is there.
    """
    named: dict[str, Path] = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if not (name and path) or name in named or name == OTHER:
            raise ConfigError(
                f"--unknown takes NAME=DIR, each name once and none of them `{OTHER}`; "
                f"got {pair!r}."
            )
        if not Path(path).exists():
            raise DataError(f"--unknown {pair}: {path}: no such file or folder.")
        named[name] = Path(path)
    return named


def load_unknown(name: str, source: Path) -> tuple[tuple[Item, ...], list[str]]:
    """Read a folder of images, or anything that ``load_dataset`` reads.

    Args:
        name: the label of images that lie in no class folder.
        source: the folder or manifest.

    Returns:
        items: the usable images.
        notes: what was left out, for people.

    Raises:
        DataError: nothing usable there.
    """
    flat = sorted(_images(source)) if source.is_dir() else []
    if not flat:
        dataset, report = load_dataset(source)
        return dataset.items, _left_out(name, report.unreadable)
    items, unreadable = check_files([Entry(path=path, label=name) for path in flat])
    if not items:
        raise DataError(
            f"{source}: none of {len(flat)} images can be decoded; the first: "
            f"{unreadable[0].path.name}: {unreadable[0].reason}"
        )
    return tuple(items), _left_out(name, unreadable)


def load_sets(
    folders: Mapping[str, Path], known: Sequence[str]
) -> tuple[dict[str, tuple[Item, ...]], list[str]]:
    """Load several sets, and say what is left out and which classes seem to be known ones.

    Args:
        folders: by the sets' names.
        known: names of the known classes.

    Raises:
        DataError: a set has no image.
    """
    sets: dict[str, tuple[Item, ...]] = {}
    notes: list[str] = []
    for name, path in folders.items():
        sets[name], left_out = load_unknown(name, path)
        notes += [*left_out, *overlap_notes(name, {item.label for item in sets[name]}, known)]
    return sets, notes


def overlap_notes(name: str, labels: Collection[str], known: Sequence[str]) -> list[str]:
    """Say which classes of an unknown set seem to be known: accepting them counts as a miss."""
    pairs = overlapping_names(known, sorted(labels))
    if not pairs:
        return []
    names = [one if one == other else f"{other} ({one})" for one, other in pairs]
    return [
        f"Careful: the unknown set `{name}` has classes named like known ones: {listed(names)}. If "
        "they show the same, accepting them is right and counts as a miss: leave them out."
    ]


def _images(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]


def _left_out(name: str, unreadable: Sequence[Unreadable]) -> list[str]:
    if not unreadable:
        return []
    first = unreadable[0]
    return [
        f"Left out of the unknown set `{name}`, not decodable: {len(unreadable)}; the first: "
        f"{first.path.name}: {first.reason}"
    ]
