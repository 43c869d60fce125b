"""A bundle on disk: written whole or not at all, believed only after every byte was checked.

Axes: n calibration images, K classes, D embedding.
"""

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydantic
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models.encoder import file_digest
from models.errors import BundleCorrupt, BundleMissing, ConfigError
from models.head import Head
from models.manifest import FORMAT, FileInfo, Manifest, parse_manifest
from models.outputs import Score, Tensors
from models.scores import SCORES, part_of, restore_score
from models.threshold import Threshold

MANIFEST: Final = "bundle.json"
ENCODER: Final = "encoder.onnx"
HEAD: Final = "head.safetensors"
CALIBRATION: Final = "calibration.safetensors"

MAX_MANIFEST_BYTES: Final = 8 * 2**20
MAX_TENSOR_BYTES: Final = 2 * 2**30
MAX_ENCODER_BYTES: Final = 8 * 2**30

_SCORE: Final = "score."  # a fitted score's tensors in head.safetensors
_SCORES: Final = "scores."  # scores that do not decide, in calibration.safetensors


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the threshold was chosen from: one row an image, in one order."""

    scores_n: NDArray[np.float64]
    """The deciding score of each image: shape (n,)."""
    labels_n: NDArray[np.int64]
    """Its true class's index: shape (n,)."""
    embeddings_nD: NDArray[np.float32] | None = None
    """Its raw embedding, shape (n, D), to calibrate another score; None if withheld."""
    other_scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Scores of each image that do not decide, by name: shape (n,) each."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle."""

    path: Path
    manifest: Manifest
    head: Head
    calibration: Calibration
    threshold: Threshold
    calibration_scores_n: NDArray[np.float64]
    """Sorted, most unusual first: shape (n,)."""
    scores: Mapping[str, Score]
    """All that this bundle can compute, by name: those of logits, and those that were fitted."""
    digest: str
    """Of ``bundle.json``, which holds the digests of all the other files."""

    @property
    def score(self) -> Score:
        """The deciding score."""
        return self.scores[self.manifest.score.name]

    @property
    def encoder_path(self) -> Path:
        """The encoder graph's file."""
        return self.path / ENCODER

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """Read a bundle and check all of it.

        Raises:
            BundleMissing: no bundle there.
            BundleTooNew: a later format.
            BundleCorrupt: the file and field that are not what they must be.
        """
        try:
            return cls._read(path)
        except OSError as error:
            raise BundleCorrupt(
                f"{error.filename or path}: cannot be read: {error.strerror or error}."
            ) from error

    @classmethod
    def _read(cls, path: Path) -> "Bundle":
        file = path / MANIFEST
        digest = file_digest(file) if file.is_file() else ""
        manifest = read_manifest(path)
        for name, info in manifest.files.items():
            _check_file(path, name, info)
        head, scores = _read_head(path, manifest)
        calibration = _read_calibration(path, manifest, scores)
        descending_n = np.sort(calibration.scores_n)[::-1].copy()
        threshold = manifest.threshold.build()
        if threshold.value != descending_n[threshold.rank - 1]:
            raise BundleCorrupt(
                f"{path / MANIFEST}: field `threshold.value` is {threshold.value!r}, but score "
                f"{threshold.rank} of {CALIBRATION} is {descending_n[threshold.rank - 1]!r}."
            )
        return cls(path, manifest, head, calibration, threshold, descending_n, scores, digest)


def write_bundle(
    directory: Path,
    fields: Mapping[str, Any],
    *,
    head: Head,
    calibration: Calibration,
    files: Mapping[str, Path | bytes],
    scores: Mapping[str, Score] | None = None,
) -> Path:
    """Write a bundle in one step: after a crash there is all of it or nothing.

    Args:
        directory: where; must not exist yet.
        fields: the fields of ``models.manifest.Manifest`` but ``format``, ``created``,
            ``croft_version``, ``logit_scale`` and ``files``, which follow from the rest.
        head: the tuned head.
        calibration: what the threshold was chosen from.
        files: further files by their path in the bundle; ``encoder.onnx`` must be one. A path is
            copied, bytes are written.
        scores: the fitted scores by name, to be stored beside the head: at least the deciding
            one if it is fitted.

    Returns:
        The directory.

    Raises:
        ConfigError: the directory exists, or the fields do not make a valid manifest.
    """
    if directory.exists():
        raise ConfigError(
            f"{directory} exists already, and bundles are never overwritten. "
            "Give another directory or version, or remove it first."
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        _write_files(draft, _with_tensors(files, head, calibration, scores or {}))
        manifest = _complete(fields, draft, head)
        (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        Bundle.load(draft)
        draft.chmod(0o755)
        os.rename(draft, directory)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return directory


def _with_tensors(
    files: Mapping[str, Path | bytes],
    head: Head,
    calibration: Calibration,
    scores: Mapping[str, Score],
) -> dict[str, Path | bytes]:
    head_tensors: Tensors = {
        "image_transform": head.image_transform_DD,
        "prototypes": head.prototypes_KD,
    } | {
        f"{_SCORE}{name}.{tensor}": value
        for name, score in scores.items()
        for tensor, value in score.tensors().items()
    }
    calibration_tensors: Tensors = {
        "scores": calibration.scores_n,
        "labels": calibration.labels_n,
    } | {f"{_SCORES}{name}": values_n for name, values_n in calibration.other_scores.items()}
    if calibration.embeddings_nD is not None:
        calibration_tensors["embeddings"] = calibration.embeddings_nD
    return {
        **files,
        HEAD: save_tensors(_contiguous(head_tensors)),
        CALIBRATION: save_tensors(_contiguous(calibration_tensors)),
    }


def _contiguous(tensors: Tensors) -> Tensors:
    """Copy into row-major order: safetensors writes the memory as it lies.

    ``ascontiguousarray`` would make a row of a single number.
    """
    return {name: np.array(tensor, order="C") for name, tensor in tensors.items()}


def _write_files(directory: Path, files: Mapping[str, Path | bytes]) -> None:
    for name, content in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)


def _complete(fields: Mapping[str, Any], directory: Path, head: Head) -> Manifest:
    """Add the fields that follow from the files, and validate all of them."""
    found = sorted(p for p in directory.rglob("*") if p.is_file())
    files = {
        p.relative_to(directory).as_posix(): FileInfo(sha256=file_digest(p), bytes=p.stat().st_size)
        for p in found
    }
    try:
        return Manifest.model_validate(
            {
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "croft_version": importlib.metadata.version("croft-ood"),
                "logit_scale": head.logit_scale,
                "format": FORMAT,
                "files": files,
                **fields,
            }
        )
    except pydantic.ValidationError as error:
        raise ConfigError(f"These fields do not make a bundle: {error}") from error


def read_manifest(path: Path) -> Manifest:
    """Read and check what a bundle says about itself, and none of its other files.

    Raises:
        BundleMissing: no bundle there.
        BundleTooNew: a later format.
        BundleCorrupt: the field that is not what it must be.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise BundleMissing(
            f"{path}: no bundle there ({MANIFEST} not found). Give the directory that "
            f"`croft train` wrote, the one that holds {MANIFEST}."
        )
    if file.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleCorrupt(f"{file}: larger than {MAX_MANIFEST_BYTES:,} bytes.")
    try:
        manifest = parse_manifest(file.read_text(encoding="utf-8"), where=str(file))
    except UnicodeDecodeError as error:
        raise BundleCorrupt(f"{file}: not UTF-8 text: {error}.") from error
    for name in (ENCODER, HEAD, CALIBRATION):
        if name not in manifest.files:
            raise BundleCorrupt(f"{file}: field `files` lacks {name}.")
    if manifest.files[ENCODER].sha256 != manifest.backbone.digest:
        raise BundleCorrupt(
            f"{file}: field `backbone.digest` is not the digest that `files` gives {ENCODER}."
        )
    return manifest


def _check_file(root: Path, name: str, info: FileInfo) -> None:
    file = root / name
    limit = MAX_ENCODER_BYTES if name == ENCODER else MAX_TENSOR_BYTES
    if info.bytes > limit:
        raise BundleCorrupt(f"{file}: {info.bytes:,} bytes declared, at most {limit:,} allowed.")
    if not file.is_file() or root.resolve() not in file.resolve().parents:
        raise BundleCorrupt(f"{file}: named in {MANIFEST} (field `files`), but not in the bundle.")
    if file.stat().st_size != info.bytes:
        raise BundleCorrupt(
            f"{file}: {file.stat().st_size:,} bytes, but {MANIFEST} (field `files`) says "
            f"{info.bytes:,}: truncated or replaced. Copy the bundle again."
        )
    found = file_digest(file)
    if found != info.sha256:
        raise BundleCorrupt(
            f"{file}: digest {found}, but {MANIFEST} (field `files`) says {info.sha256}: "
            "changed since it was written. Copy the bundle again."
        )


def _read_tensors(
    file: Path,
    expected: Mapping[str, tuple[str, tuple[int, ...]]],
    *,
    optional: Callable[[str], bool],
) -> Tensors:
    """Read a safetensors file that must hold these tensors, with these dtypes and shapes.

    ``optional`` tells which further names it may hold.
    """
    try:
        tensors: Tensors = load_tensors(file.read_bytes())
    except SafetensorError as error:
        raise BundleCorrupt(f"{file}: not a safetensors file: {error}.") from error
    for name in tensors:
        if name not in expected and not optional(name):
            raise BundleCorrupt(f"{file}: tensor `{name}` is not one that a bundle holds.")
    for name, (dtype, shape) in expected.items():
        if name not in tensors:
            raise BundleCorrupt(f"{file}: tensor `{name}` is missing.")
        _check_tensor(file, name, tensors[name], dtype, shape)
    return tensors


def _check_tensor(
    file: Path, name: str, found: NDArray[Any], dtype: str, shape: tuple[int, ...]
) -> None:
    if found.dtype != np.dtype(dtype) or found.shape != shape:
        raise BundleCorrupt(
            f"{file}: tensor `{name}` must be {dtype} {shape}, is {found.dtype} {found.shape}."
        )
    if not np.all(np.isfinite(found)):
        raise BundleCorrupt(f"{file}: tensor `{name}` must be finite, and has NaN or infinity.")


def _read_head(path: Path, manifest: Manifest) -> tuple[Head, dict[str, Score]]:
    file, dim = path / HEAD, manifest.backbone.embedding_dim
    expected = {
        "image_transform": ("float32", (dim, dim)),
        "prototypes": ("float32", (len(manifest.classes), dim)),
    }
    tensors = _read_tensors(file, expected, optional=lambda name: name.startswith(_SCORE))
    try:
        head = Head(tensors["image_transform"], tensors["prototypes"], manifest.logit_scale)
        scores = _restore_scores(part_of(tensors, "score"), dim)
    except ConfigError as error:
        raise BundleCorrupt(f"{file}: {error}") from error
    if manifest.score.name not in scores:
        raise BundleCorrupt(
            f"{file}: no tensor `{_SCORE}{manifest.score.name}.*`, but {path / MANIFEST}, field "
            f"`score.name`, says that this score decides."
        )
    return head, scores


def _restore_scores(tensors: Tensors, dim: int) -> dict[str, Score]:
    """Restore the fitted scores whose tensors are there, and all of those that need none."""
    stored = {name.partition(".")[0] for name in tensors}
    for unknown in sorted(stored - {name for name, spec in SCORES.items() if spec.stores}):
        raise ConfigError(f"tensor `{_SCORE}{unknown}.*`: no fitted score has this name.")
    return {
        name: restore_score(name, part_of(tensors, name), dim=dim)
        for name, spec in SCORES.items()
        if name in stored or not spec.stores
    }


def _read_calibration(path: Path, manifest: Manifest, scores: Mapping[str, Score]) -> Calibration:
    file, n = path / CALIBRATION, manifest.threshold.n
    expected = {"scores": ("float64", (n,)), "labels": ("int64", (n,))}
    others = {f"{_SCORES}{name}" for name in scores if name != manifest.score.name}
    allowed = {"embeddings", *others}
    tensors = _read_tensors(file, expected, optional=lambda name: name in allowed)
    for name in others & tensors.keys():
        _check_tensor(file, name, tensors[name], "float64", (n,))
    embeddings_nD = tensors.get("embeddings")
    if embeddings_nD is not None:
        shape = (n, manifest.backbone.embedding_dim)
        _check_tensor(file, "embeddings", embeddings_nD, "float32", shape)
    return Calibration(
        tensors["scores"], tensors["labels"], embeddings_nD, part_of(tensors, "scores")
    )
