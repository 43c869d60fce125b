"""Everything that a run produced -> the bundle's manifest, golden images, model card, report.

Axes: B golden images.
"""

import importlib.metadata
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from models.bundle import ENCODER, Bundle, Calibration, write_bundle
from models.decode import decoder_version
from models.encoder import OnnxEncoder, runtime_version
from models.head import Head
from models.scores import Score, energy
from models.threshold import Threshold
from training.data import Dataset, Item, digest_of
from training.data_report import DataReport
from training.encoders import DualEncoder
from training.evaluate import CALIBRATED_DOMAINS, Evaluation
from training.golden import golden_outputs
from training.model_card import model_card
from training.recipe import TrainConfig, as_tables
from training.report import write_report
from training.selection.select import Selection
from training.selection.table import CSV, as_csv
from training.split import Splits
from training.summary import summarize
from training.tune import Tuned

TOLERANCE: Final = {"fp32": 5e-3}
"""Largest difference of a golden image's energy between machines, by precision. At a logit scale
of 100, fp32 kernels of different processors were seen to differ by about 1e-4; another JPEG decoder
moves energies by 1e-2 and more."""

_LARGEST_GOLDEN_BYTES: Final = 2**20
_PACKAGES: Final = ("croft-ood", "torch", "open_clip_torch", "onnx", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What a run has when everything is decided and nothing is judged."""

    name: str
    config: TrainConfig
    dual: DualEncoder
    dataset: Dataset
    data_report: DataReport
    splits: Splits
    tuned: Tuned
    head: Head
    scores: Mapping[str, Score]
    calibration: Calibration
    threshold: Threshold
    selection: Selection | None
    """Of settings and score, if they were selected."""
    notes: tuple[str, ...]


def write(directory: Path, draft: Draft, evaluation: Evaluation | None = None) -> Path:
    """Write the bundle; with an evaluation, its figures and report go into it.

    Raises:
        ConfigError: the directory exists.
    """
    fields = _fields(draft, version=directory.name)
    files: dict[str, Path | bytes] = {ENCODER: draft.dual.exported.path}
    golden = _golden(draft)
    files |= {image["file"]: data for image, data in golden}
    fields["self_test"]["images"] = [image for image, _ in golden]
    if evaluation is not None:
        fields["metrics"] = summarize(evaluation)
    files["README.md"] = model_card(fields, draft.threshold).encode()
    if evaluation is None:
        return _write(directory, fields, draft, files)
    with tempfile.TemporaryDirectory() as scratch:
        return _write(
            directory,
            fields,
            draft,
            files | _report(Path(scratch) / directory.name, draft, evaluation) | _selection(draft),
        )


def _write(
    directory: Path, fields: dict[str, Any], draft: Draft, files: dict[str, Path | bytes]
) -> Path:
    return write_bundle(
        directory,
        fields,
        head=draft.head,
        calibration=draft.calibration,
        files=files,
        scores=draft.scores,
    )


def _fields(draft: Draft, *, version: str) -> dict[str, Any]:
    exported, dual = draft.dual.exported, draft.dual
    return {
        "name": draft.name,
        "version": version,
        "classes": [
            {"name": c.name, "display_name": c.display_name, "prompts": list(c.prompts)}
            for c in draft.dataset.classes
        ],
        "backbone": {
            "name": dual.name,
            "pretrained": dual.pretrained,
            "digest": exported.digest,
            "exporter": exported.exporter,
            "embedding_dim": len(draft.head.image_transform_DD),
            "licence": dual.licence,
            "source": dual.source,
        },
        "preprocess": asdict(dual.preprocess) | {"decoder_version": decoder_version()},
        "tuning": draft.config.tune.tuning,
        "score": {"name": draft.config.score},
        "threshold": asdict(draft.threshold),
        "self_test": {"tolerance": TOLERANCE["fp32"], "images": []},
        "dataset": _dataset_facts(draft),
        "metrics": {},
        "recipe": as_tables(draft.config),
        "provenance": _provenance(draft),
    }


def _dataset_facts(draft: Draft) -> dict[str, Any]:
    splits = draft.splits
    calibrated_on = {item.domain for item in splits.calibrate if item.domain is not None}
    return {
        "digest": draft.dataset.digest,
        "calibration_digest": digest_of(splits.calibrate),
        "images": splits.counts(),
        CALIBRATED_DOMAINS: sorted(calibrated_on),
        "kept_together": asdict(splits.kept_together),
    }


def _provenance(draft: Draft) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "packages": versions | {"runtime": runtime_version()},
        "seed": draft.config.seed,
        "context": draft.tuned.context_tokens_readable,
        "notes": list(draft.notes),
    }


def _golden(draft: Draft) -> list[tuple[dict[str, Any], bytes]]:
    """Choose images of different classes, and record what they give here."""
    chosen = _spread(draft.splits.test or draft.splits.select, draft.config.golden_images)
    contents = [item.path.read_bytes() for item in chosen]
    if not chosen:
        return []
    encoder = OnnxEncoder(draft.dual.exported.path)
    outputs = golden_outputs(contents, encoder, draft.dual.preprocess, draft.head)
    energies_B, scores_B = energy(outputs.logits_BK), draft.scores[draft.config.score](outputs)
    return [
        (
            {
                "file": f"golden/{index}{item.path.suffix.lower()}",
                "label": item.label,
                "energy": float(energies_B[index]),
                "score": float(scores_B[index]),
            },
            contents[index],
        )
        for index, item in enumerate(chosen)
    ]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return up to ``count`` small files, evenly spread over the classes."""
    small = [item for item in items if item.path.stat().st_size <= _LARGEST_GOLDEN_BYTES]
    by_label = sorted(small, key=lambda item: item.label)
    step = max(1, len(by_label) // max(1, count))
    return by_label[::step][:count]


def _selection(draft: Draft) -> dict[str, Path | bytes]:
    if draft.selection is None or not draft.selection.verdicts:
        return {}
    return {CSV: as_csv(draft.selection).encode()}


def _report(scratch: Path, draft: Draft, evaluation: Evaluation) -> dict[str, Path | bytes]:
    """Render the report of the bundle, and return its files by their path in the bundle."""
    unreported = Bundle.load(write(scratch, draft))
    folder = scratch / "report"
    data_report = [*draft.data_report.lines(), *draft.splits.lines(), *draft.notes]
    write_report(folder, bundle=unreported, evaluation=evaluation, data_report=data_report)
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"report/{path.relative_to(folder).as_posix()}": path for path in found}
