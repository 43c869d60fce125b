"""Judge a bundle on images: each is answered exactly as the service would answer it.

Axes: N images, D embedding.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.decision import Decision, decide
from models.embed import ImageFile, embed_files
from models.encoder import OnnxEncoder
from models.errors import ConfigError, DataError
from models.scores import SCORES
from models.threshold import Threshold

KNOWN: Final = "known"
"""The set of known images of the styles that the bundle was calibrated on."""
SHIFTED: Final = "shifted"
"""The set of known images of other styles: the promise does not cover them."""
CALIBRATED_DOMAINS: Final = "calibrated_domains"
"""Field of a bundle's ``dataset`` that lists the domains it was calibrated on; absent if none."""

_COLUMNS: Final = (
    *("set", "path", "label", "domain", "answer", "rejected", "energy", "score", "p_value"),
    *("best", "probability"),
)

Progress = Callable[[int, int], None]


class LabelledFile(ImageFile, Protocol):
    """An image file and what it shows; ``training.data.Item`` is one."""

    @property
    def label(self) -> str:
        """Name of what it shows."""

    @property
    def domain(self) -> str | None:
        """Its style or source, if the data has any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sets:
    """What to judge a bundle on. None of it may have been trained or calibrated on."""

    known: Sequence[LabelledFile] = ()
    """Images of the bundle's classes, in the styles it was calibrated on."""
    shifted: Sequence[LabelledFile] = ()
    """Images of the bundle's classes, in other styles."""
    unknown: Mapping[str, Sequence[LabelledFile]] = field(default_factory=dict)
    """Sets of images of anything else, by name."""

    def __post_init__(self) -> None:
        """Refuse sets that no figure could be computed from, and names that would collide."""
        if not (self.known or self.shifted):
            raise DataError(
                "There is no image of a known class, and nothing to compare unknown images with. "
                "Give some."
            )
        if taken := {KNOWN, SHIFTED, ""} & set(self.unknown):
            raise ConfigError(
                f"A set of unknown images cannot be called {min(taken)!r}. Rename it."
            )
        if empty := [name for name, files in self.unknown.items() if not files]:
            raise DataError(f"The set of unknown images `{empty[0]}` has no image.")

    def by_name(self) -> dict[str, Sequence[LabelledFile]]:
        """Return every set that has images, by name."""
        named = {KNOWN: self.known, SHIFTED: self.shifted, **self.unknown}
        return {name: files for name, files in named.items() if files}


@dataclass(frozen=True, slots=True)
class Row:
    """One image and its answer."""

    set: str
    path: Path
    label: str
    domain: str | None
    decision: Decision
    scores: Mapping[str, float]
    """Every score that was calibrated, the deciding one too, by name."""

    @property
    def correct(self) -> bool:
        """Whether the most probable class is the true one, refused or not."""
        return self.decision.candidates[0].label == self.label


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every answer, in the order of the sets."""

    rows: tuple[Row, ...]
    threshold: Threshold
    classes: tuple[str, ...]
    thresholds: Mapping[str, float]
    """Of every score that was calibrated, for the same promise, by name."""

    def of(self, name: str) -> tuple[Row, ...]:
        """Return the rows of one set."""
        return tuple(row for row in self.rows if row.set == name)

    @property
    def unknown_sets(self) -> tuple[str, ...]:
        """Names of the sets of unknown images, in the order given."""
        names = dict.fromkeys(row.set for row in self.rows)
        return tuple(name for name in names if name not in (KNOWN, SHIFTED))


def evaluate(
    bundle: Bundle, sets: Sets, *, cache: Path | None = None, on_progress: Progress | None = None
) -> Evaluation:
    """Embed every image with the bundle's own encoder, and decide as the service does.

    Args:
        bundle: what to judge.
        sets: what to judge it on.
        cache: folder that keeps embeddings; a run that was cut off goes on from there.
        on_progress: told how many different images are done, and of how many.

    Raises:
        DataError: an image is of none of the bundle's classes but not in an unknown set, or was
            changed since it was listed.
    """
    named = sets.by_name()
    _check_labels(bundle.manifest.labels, [*sets.known, *sets.shifted])
    files = [file for group in named.values() for file in group]
    embeddings_ND = embed_files(
        files,
        OnnxEncoder(bundle.encoder_path),
        bundle.manifest.preprocess.build(),
        cache=cache,
        on_progress=on_progress,
    )[:, 0]
    set_of_N = [name for name, group in named.items() for _ in group]
    return _judge(bundle, files, set_of_N, embeddings_ND)


def _judge(
    bundle: Bundle,
    files: Sequence[LabelledFile],
    set_of_N: Sequence[str],
    embeddings_ND: NDArray[np.float32],
) -> Evaluation:
    thresholds = _thresholds(bundle)
    rows = tuple(
        Row(
            name,
            file.path,
            file.label,
            file.domain,
            decide(bundle, embedding_D),
            _scores(bundle, thresholds, embedding_D),
        )
        for name, file, embedding_D in zip(set_of_N, files, embeddings_ND, strict=True)
    )
    return Evaluation(rows, bundle.threshold, tuple(bundle.manifest.labels), thresholds)


def _thresholds(bundle: Bundle) -> dict[str, float]:
    """Return what each score's threshold would be, were it to decide: the rank is the same."""
    stored, rank = bundle.calibration, bundle.threshold.rank
    calibrated = {bundle.manifest.score.name: stored.scores_n, **stored.other_scores}
    return {name: float(np.sort(calibrated[name])[-rank]) for name in SCORES if name in calibrated}


def _scores(
    bundle: Bundle, names: Iterable[str], embedding_D: NDArray[np.float32]
) -> dict[str, float]:
    outputs = bundle.head.outputs(embedding_D[None])
    return {name: float(bundle.scores[name](outputs)[0]) for name in names}


def _check_labels(classes: Sequence[str], files: Iterable[LabelledFile]) -> None:
    strangers = sorted({file.label for file in files} - set(classes))
    if strangers:
        raise DataError(
            f"The bundle does not know the class `{strangers[0]}` ({len(strangers)} such); it "
            f"knows {', '.join(classes[:10])}{', ...' if len(classes) > 10 else ''}. Rename the "
            "class, or give its images as unknown."
        )


def write_rows(path: Path, rows: Iterable[Row]) -> Path:
    """Write one line an image, as ``.jsonl`` or ``.csv``; numbers keep every digit.

    Raises:
        ConfigError: another extension.
    """
    if path.suffix not in (".jsonl", ".csv"):
        raise ConfigError(f"{path}: answers are written as .jsonl or .csv, got `{path.suffix}`.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(as_dict(row), ensure_ascii=False) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(_flat(row) for row in rows)
    return path


def as_dict(row: Row) -> dict[str, object]:
    """Return a row as JSON-able fields: where from, then the fields of the decision."""
    decision = asdict(row.decision)
    source = {"set": row.set, "path": str(row.path), "label": row.label, "domain": row.domain}
    # The decision has a `label` too: the answer.
    return source | {"answer": decision.pop("label")} | decision


def _flat(row: Row) -> dict[str, object]:
    best = row.decision.candidates[0]
    return as_dict(row) | {"best": best.label, "probability": best.probability}
