"""Another promise or score for a bundle that exists: from what it stores, without new images.

Axes: n calibration images.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from models.bundle import CALIBRATION, HEAD, Bundle, Calibration, write_bundle
from models.encoder import OnnxEncoder
from models.errors import ConfigError
from models.outputs import Floats
from models.scores import SCORES, check_score
from models.threshold import Threshold
from training.calibrate import CalibrateConfig, calibrate, expectation
from training.golden import golden_outputs

REPORT: Final = "report/index.html"
CARD: Final = "README.md"
NOTICES: Final = "<!-- notices -->"
"""Where a report takes notices."""

_DERIVED: Final = {"format", "created", "croft_version", "logit_scale", "files"}


def recalibrate(
    bundle: Bundle, config: CalibrateConfig, *, score: str | None = None, out: Path | None = None
) -> Path:
    """Write a new version of a bundle with another threshold, and another score if one is named.

    Encoder, head and golden images stay as they are. The report and the model card stay too,
    under a notice that their decisions were made with the former threshold.

    Args:
        bundle: what to start from; it is not changed.
        config: what to promise.
        score: what decides from now on; by default what does now.
        out: where the new bundle goes; by default beside the old one, under the next version.

    Returns:
        The new bundle's directory.

    Raises:
        TooFewImages: the bundle's calibration scores do not suffice for the promise.
        ConfigError: ``out`` exists, or the bundle lacks what the score needs.
    """
    chosen = bundle.manifest.score.name if score is None else score
    calibration = _deciding(bundle, chosen)
    threshold = calibrate(calibration.scores_n, config)
    version, directory = _next(bundle)
    return write_bundle(
        out or directory,
        _fields(bundle, version, threshold, chosen),
        head=bundle.head,
        calibration=calibration,
        files=_files(bundle, version, threshold, chosen),
        scores=bundle.scores,
    )


def _deciding(bundle: Bundle, score: str) -> Calibration:
    """Return the calibration in which this score decides and the former one is kept beside it."""
    old, former = bundle.calibration, bundle.manifest.score.name
    if score == former:
        return old
    others = {**old.other_scores, former: old.scores_n}
    scores_n = others.pop(score) if score in others else _computed(bundle, score)
    return Calibration(scores_n, old.labels_n, old.embeddings_nD, others)


def _computed(bundle: Bundle, score: str) -> Floats:
    """Return scores that are not stored, from the stored embeddings, shape (n,)."""
    check_score(score)
    if score not in bundle.scores:
        names = " with --negatives FILE" if SCORES[score].needs == "negative names" else ""
        raise ConfigError(
            f"{bundle.path}: the score {score} was not fitted when this bundle was trained. It has "
            f"{', '.join(bundle.scores)}; train again{names} to have it."
        )
    if bundle.calibration.embeddings_nD is None:
        raise ConfigError(
            f"{bundle.path}: neither calibration scores for {score} nor calibration embeddings are "
            "stored. Train again."
        )
    return bundle.scores[score](bundle.head.outputs(bundle.calibration.embeddings_nD))


def _fields(bundle: Bundle, version: str, threshold: Threshold, score: str) -> dict[str, Any]:
    old = bundle.manifest
    fields = old.model_dump(exclude=_DERIVED)
    origin = {
        "name": old.name,
        "version": old.version,
        "score": old.score.name,
        "threshold": old.threshold.model_dump(),
        "derived_from": old.provenance.get("derived_from"),
    }
    metrics: dict[str, Any] = {"measured_with_version": old.version, **old.metrics}
    return fields | {
        "version": version,
        "score": {"name": score},
        "threshold": asdict(threshold),
        "self_test": fields["self_test"] | {"images": _golden(bundle, score)},
        "provenance": old.provenance | {"derived_from": origin},
        "metrics": metrics if old.metrics else {},
    }


def _golden(bundle: Bundle, score: str) -> list[dict[str, Any]]:
    """Return what the golden images must give: by another score, something else."""
    images = [image.model_dump() for image in bundle.manifest.self_test.images]
    if score == bundle.manifest.score.name or not images:
        return images
    encoder, preprocess = OnnxEncoder(bundle.encoder_path), bundle.manifest.preprocess.build()
    contents = [(bundle.path / image["file"]).read_bytes() for image in images]
    values_B = bundle.scores[score](golden_outputs(contents, encoder, preprocess, bundle.head))
    return [image | {"score": float(value)} for image, value in zip(images, values_B, strict=True)]


def _files(
    bundle: Bundle, version: str, threshold: Threshold, score: str
) -> dict[str, Path | bytes]:
    files: dict[str, Path | bytes] = {
        name: bundle.path / name
        for name in bundle.manifest.files
        if name not in (HEAD, CALIBRATION)
    }
    text = (
        f"Version {version} was recalibrated from version {bundle.manifest.version}: it "
        f"{expectation(threshold)}. Refused and accepted images below were judged with the "
        f"former threshold, {bundle.threshold.value:.4f}; the new one is {threshold.value:.4f}."
    )
    former = bundle.manifest.score.name
    if score != former:
        text += f" The score is now {score}; figures of the score below are of {former}."
    for name in {CARD, REPORT} & set(files):
        old = (bundle.path / name).read_text(encoding="utf-8")
        files[name] = _noticed(old, text, is_html=name == REPORT).encode()
    return files


def _noticed(old: str, text: str, *, is_html: bool) -> str:
    if not is_html:
        return f"> {text}\n\n{old}"
    return old.replace(NOTICES, f'{NOTICES}\n<p class="notice">{html.escape(text)}</p>')


def _next(bundle: Bundle) -> tuple[str, Path]:
    """Return the first later version whose directory is free."""
    for version in _later(bundle.manifest.version):
        directory = _beside(bundle, version)
        if not directory.exists():
            return version, directory
    raise AssertionError("versions never end")


def _later(version: str) -> Iterator[str]:
    """Count on from the number that a version ends with: 1 -> 2, v1.9 -> v1.10, beta -> beta.1."""
    match = re.search(r"\d+$", version)
    stem, number = (version[: match.start()], int(match[0])) if match else (f"{version}.", 0)
    while True:
        number += 1
        yield f"{stem}{number}"


def _beside(bundle: Bundle, version: str) -> Path:
    """Return ``name/2`` for ``name/1``, ``name-2`` for ``name-1`` and for ``name``."""
    path, old = bundle.path.resolve(), bundle.manifest.version
    if path.name == old:
        return path.with_name(version)
    return path.with_name(f"{path.name.removesuffix(f'-{old}')}-{version}")
