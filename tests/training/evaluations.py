"""A small real evaluation: colours on disk, judged by the bundle that knows them."""

import io
from pathlib import Path

from PIL import Image

from models.bundle import Bundle
from tests.bundles import KNOWN, UNKNOWN, colour_image, load_tiny
from training.data import Item, load_dataset
from training.evaluate import Evaluation, Sets, evaluate


def write_colours(root: Path, *, per_class: int = 20) -> Path:
    """Write ``domain/class`` folders: ``photo`` as calibrated, ``faded`` mixed with white.

    One blue photo lies among the red ones, where a bundle that works gets it wrong.
    """
    _write(root / "photo" / "red" / "blue.jpg", colour_image("blue", seed=999))
    for name in KNOWN:
        for index in range(per_class):
            data = colour_image(name, seed=1000 + index)
            _write(root / "photo" / name / f"{index}.jpg", data)
            _write(root / "faded" / name / f"{index}.png", _faded(data))
    return root


def write_unknown(root: Path, *, per_class: int = 8) -> Path:
    """Write class folders of colours that the bundle does not know, but for one red among them."""
    _write(root / "black" / "red.jpg", colour_image("red", seed=999))
    for name in UNKNOWN:
        for index in range(per_class):
            _write(root / name / f"{index}.jpg", colour_image(name, seed=2000 + index))
    return root


def colour_sets(root: Path) -> Sets:
    """Write and list known, shifted and unknown colours."""
    items = _items(write_colours(root / "known"))
    return Sets(
        known=[item for item in items if item.domain == "photo"],
        shifted=[item for item in items if item.domain == "faded"],
        unknown={"greys & co <b>": _items(write_unknown(root / "unknown"))},
    )


def colour_evaluation(root: Path, *, method: str = "pac") -> tuple[Bundle, Evaluation]:
    """Return a bundle and how it judges colours; the set of unknown ones has a hostile name."""
    bundle = load_tiny(root / "bundle", method=method)
    return bundle, evaluate(bundle, colour_sets(root))


def _items(root: Path) -> tuple[Item, ...]:
    return load_dataset(root)[0].items


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _faded(data: bytes) -> bytes:
    image = Image.open(io.BytesIO(data))
    buffer = io.BytesIO()
    Image.blend(image, Image.new("RGB", image.size, "white"), 0.2).save(buffer, format="PNG")
    return buffer.getvalue()
