"""Encoder graphs on disk: made once, checked, then used again under the same name."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.encoder import file_digest


@dataclass(frozen=True, slots=True)
class ExportedEncoder:
    """An ONNX file of the form that ``models.encoder.OnnxEncoder`` takes."""

    path: Path
    """The graph."""
    digest: str
    """``sha256:...`` of the file."""
    exporter: str
    """What made it: packages, versions, opset."""
    precision: str = "fp32"
    """Of weights and arithmetic."""


def make_once(
    cache: Path, *, key: tuple[str, ...], exporter: str, make: Callable[[Path], None]
) -> ExportedEncoder:
    """Return the cached graph of this key and exporter; have it made and checked if there is none.

    ``make`` writes a file and raises when it is no good; only a good file appears in the cache,
    all at once, so that a run that is cut off leaves nothing that a later one would trust.
    """
    folder = cache / "encoders"
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256("\n".join((exporter, *key)).encode()).hexdigest()[:32]
    path = folder / f"{name}.onnx"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / path.name
            make(made)
            made.replace(path)
    return ExportedEncoder(path, file_digest(path), exporter)
