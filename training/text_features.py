"""Class features of a foreign encoder: from a file, or from the images where the file has none.

Axes: K classes, T rows of the file, N training images, D embedding.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from training.class_names import ClassSpec, listed, name_key

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TextTable:
    """What a file of text features offers: unit rows by name."""

    rows: Mapping[str, Floats]

    @classmethod
    def load(cls, path: Path) -> "TextTable":
        """Read an ``.npz`` with ``class_names`` (T,) and ``features`` (T, D).

        Raises:
            ConfigError: not such a file, by what is wrong with it.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                names_T, features_TD = arrays["class_names"], arrays["features"].astype(np.float32)
        except (OSError, EOFError, TypeError, ValueError, KeyError, BadZipFile) as error:
            raise ConfigError(
                f"{path}: text features are an .npz with `class_names` (T,) and `features` "
                f"(T, D): {error}."
            ) from error
        shape = features_TD.shape
        if features_TD.ndim != 2 or names_T.shape != shape[:1] or 0 in shape:
            raise ConfigError(
                f"{path}: `class_names` must be (T,) and `features` (T, D), not empty; they are "
                f"{names_T.shape} and {shape}."
            )
        unit_TD = unit_rows(features_TD)
        return cls({name_key(str(n)): row for n, row in zip(names_T, unit_TD, strict=True)})

    def find(self, names: Sequence[str]) -> Floats | None:
        """Return the mean of the rows of these names, (D,); None if one is missing."""
        found = [self.rows.get(name_key(name)) for name in names]
        rows = [row for row in found if row is not None]
        return np.mean(rows, axis=0) if rows and len(rows) == len(found) else None


def load_aliases(path: Path) -> dict[str, list[str]]:
    """Read a TOML file of ``class = "name"`` or ``class = ["name", "name"]`` (their mean).

    Raises:
        ConfigError: not such a file.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a file of aliases that can be read: {error}.") from error
    aliases = {name: [value] if isinstance(value, str) else value for name, value in table.items()}
    for name, value in aliases.items():
        if not (isinstance(value, list) and value and all(isinstance(v, str) for v in value)):
            raise ConfigError(f"{path}: `{name}` must be a name or a list of names, got {value!r}.")
    return aliases


class ClassFeatures(NamedTuple):
    """The classes as text features see them, whether the file has them or not."""

    features_KD: Floats
    """Unit rows, (K, D)."""
    missing: list[str]
    """The classes that took their images' mean."""
    gap_D: Floats
    """What the text of the others was moved by; zero if no class is missing, (D,)."""

    def moved(self, text_MD: Floats) -> Floats:
        """Return other unit text features moved as the classes' were, unit rows, (M, D)."""
        return unit_rows(text_MD + self.gap_D)


def class_features(
    classes: Sequence[ClassSpec],
    table: TextTable,
    aliases: Mapping[str, Sequence[str]],
    train_ND: Floats,
    labels_N: NDArray[np.int64],
) -> ClassFeatures:
    """Return one unit feature a class, and the names of classes that the file lacks.

    A class that is neither in the file nor an alias of something there takes the mean of its
    normalised training embeddings. Encoders keep images and text apart (Liang et al., "Mind the
    Gap", NeurIPS 2022), so that this mean would be nearer to every image than any text is: the
    other classes' features are therefore moved, all by the same vector, to where images lie. A
    class that has neither text nor images is a zero row.

    Args:
        classes: in index order.
        table: the file.
        aliases: class name -> names in the file.
        train_ND: plain training embeddings, (N, D).
        labels_N: their class indices, (N,).

    Raises:
        ConfigError: an alias points at nothing, or the file's D is not the encoder's.
    """
    check_aliases(aliases, classes, table)
    _check_dim(table, train_ND)
    found = [table.find(aliases.get(spec.name, [spec.name])) for spec in classes]
    if all(row is not None for row in found):
        text_KD = np.stack([row for row in found if row is not None])
        return ClassFeatures(unit_rows(text_KD), [], np.zeros(text_KD.shape[1], dtype=np.float32))
    seen_K = np.isin(np.arange(len(classes)), labels_N)
    images_KD = np.zeros((len(classes), train_ND.shape[1]), dtype=np.float32)
    for k in np.flatnonzero(seen_K):
        images_KD[k] = unit_rows(train_ND[labels_N == k]).mean(axis=0)
    pairs = list(zip(found, images_KD, strict=True))
    gaps = [
        image_D - row
        for (row, image_D), seen in zip(pairs, seen_K, strict=True)
        if row is not None and seen
    ]
    gap_D = np.mean(gaps, axis=0) if gaps else np.zeros(train_ND.shape[1], dtype=np.float32)
    rows = [image_D if row is None else row + gap_D for row, image_D in pairs]
    missing = [spec.name for spec, row in zip(classes, found, strict=True) if row is None]
    return ClassFeatures(unit_rows(np.stack(rows)), missing, gap_D)


def negative_features(
    names: Sequence[str], table: TextTable
) -> tuple[dict[str, Floats], list[str]]:
    """Look up names that are no class.

    Returns:
        features: unit rows (D,) of the names that the file has.
        notes: which it has not, for people.

    Raises:
        ConfigError: it has none of the names that are given.
    """
    rows = {name: table.find([name]) for name in names}
    found = {name: row for name, row in rows.items() if row is not None}
    missing = [name for name, row in rows.items() if row is None]
    if missing and not found:
        raise ConfigError(f"--text-features has none of the negative names: {listed(missing)}.")
    note = f"{len(missing)} of {len(names)} negative names have no text feature, and are left out"
    return found, [f"{note}: {listed(missing)}."] if missing else []


def check_aliases(
    aliases: Mapping[str, Sequence[str]], classes: Sequence[ClassSpec], table: TextTable
) -> None:
    """Check both ends of every alias, which takes no image.

    Raises:
        ConfigError: one is of no class, or points at no row.
    """
    if strangers := sorted(set(aliases) - {spec.name for spec in classes}):
        raise ConfigError(f"--aliases names {listed(strangers)}, which the data does not have.")
    for name, targets in aliases.items():
        if lost := [t for t in targets if table.find([t]) is None]:
            raise ConfigError(f"--aliases: `{name}` points at {listed(lost)}: not in the features.")


def _check_dim(table: TextTable, train_ND: Floats) -> None:
    dim = len(next(iter(table.rows.values())))
    if dim != train_ND.shape[1]:
        raise ConfigError(
            f"--text-features has D = {dim}, the encoder gives {train_ND.shape[1]}: they do not "
            "belong together."
        )


def unit_rows(rows_ND: Floats) -> Floats:
    """Return rows of length 1, (N, D), float32; a zero row stays zero."""
    norms_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return np.asarray(rows_ND / np.maximum(norms_N1, 1e-12), dtype=np.float32)


def with_means(
    features_KD: Floats, train_ND: Floats, labels_N: NDArray[np.int64], share: float
) -> Floats:
    """Mix each class's text feature with the mean of its training images, shape (K, D).

    ``(1 - share) t + share m``, both of unit length; a class without images keeps its text. The
    mean is the prototype of Snell et al., NeurIPS 2017.

    Args:
        features_KD: text features, (K, D).
        train_ND: raw embeddings of plain training images, (N, D).
        labels_N: their classes, (N,).
        share: of the mean, 0 to 1.
    """
    mixed_KD = unit_rows(features_KD)
    x_ND = unit_rows(train_ND)
    for label in np.unique(labels_N):
        mean_1D = unit_rows(x_ND[labels_N == label].mean(axis=0, keepdims=True))
        mixed_KD[label] = (1 - share) * mixed_KD[label] + share * mean_1D[0]
    return mixed_KD
