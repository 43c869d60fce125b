"""Another promise for a bundle that exists: from its stored scores, without any image."""

import html
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from models.bundle import CALIBRATION, HEAD, Bundle, write_bundle
from models.threshold import Threshold
from training.calibrate import CalibrateConfig, calibrate, expectation

REPORT: Final = "report/index.html"
CARD: Final = "README.md"
NOTICES: Final = "<!-- notices -->"
"""Where a report takes notices."""

_DERIVED: Final = {"format", "created", "croft_version", "logit_scale", "files"}


def recalibrate(bundle: Bundle, config: CalibrateConfig, *, out: Path | None = None) -> Path:
    """Write a new version of a bundle with another threshold.

    Encoder, head, calibration scores and golden images stay as they are. The report and the
    model card stay too, under a notice that their decisions were made with the former threshold.

    Args:
        bundle: what to start from; it is not changed.
        config: what to promise.
        out: where the new bundle goes; by default beside the old one, under the next version.

    Returns:
        The new bundle's directory.

    Raises:
        TooFewImages: the bundle's calibration scores do not suffice for the promise.
        ConfigError: ``out`` exists.
    """
    threshold = calibrate(bundle.calibration.scores_n, config)
    version, directory = _next(bundle)
    return write_bundle(
        out or directory,
        _fields(bundle, version, threshold),
        head=bundle.head,
        calibration=bundle.calibration,
        files=_files(bundle, version, threshold),
    )


def _fields(bundle: Bundle, version: str, threshold: Threshold) -> dict[str, Any]:
    old = bundle.manifest
    fields = old.model_dump(exclude=_DERIVED)
    origin = {
        "name": old.name,
        "version": old.version,
        "threshold": old.threshold.model_dump(),
        "derived_from": old.provenance.get("derived_from"),
    }
    metrics: dict[str, Any] = {"measured_with_version": old.version, **old.metrics}
    return fields | {
        "version": version,
        "threshold": asdict(threshold),
        "provenance": old.provenance | {"derived_from": origin},
        "metrics": metrics if old.metrics else {},
    }


def _files(bundle: Bundle, version: str, threshold: Threshold) -> dict[str, Path | bytes]:
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
