"""Images of things that should be refused: what exactly they show need not be known."""

import hashlib
from pathlib import Path

from models.decode import decode
from models.errors import DataError, ImageError
from training.data import Item, load_dataset
from training.image_folders import SUFFIXES


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
