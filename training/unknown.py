"""Images of things that should be refused: what exactly they show need not be known."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.decode import decode
from models.errors import ConfigError, DataError, ImageError
from training.data import Item, load_dataset
from training.image_folders import SUFFIXES

OTHER: Final = "other classes"
"""The set of those images of a data set whose class the bundle does not know."""


def named_folders(pairs: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=DIR`` flags.

    Raises:
        ConfigError: another form, or a name that is given twice or reserved.
    """
    named: dict[str, Path] = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if not (name and path) or name in named or name == OTHER:
            raise ConfigError(
                f"--unknown takes NAME=DIR, each name once and none of them `{OTHER}`; "
                f"got {pair!r}."
            )
        named[name] = Path(path)
    return named


def load_unknown(name: str, source: Path) -> tuple[Item, ...]:
    """Read a folder of images, or anything that ``load_dataset`` reads.

    Args:
        name: the label of images that lie in no class folder.
        source: the folder or manifest.

    Raises:
        DataError: nothing usable there.
    """
    flat = sorted(_images(source)) if source.is_dir() else []
    if not flat:
        return load_dataset(source)[0].items
    items = tuple(item for item in (_item(path, name) for path in flat) if item is not None)
    if not items:
        raise DataError(f"{source}: none of {len(flat)} images can be decoded.")
    return items


def _images(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]


def _item(path: Path, label: str) -> Item | None:
    data = path.read_bytes()
    try:
        decode(data, draft=256)
    except ImageError:
        return None
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return Item(path=path, label=label, domain=None, split=None, group=None, digest=digest)
