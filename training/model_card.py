"""The bundle's README: what it knows, what it promises, and what it does not."""

from collections.abc import Mapping
from typing import Any

from models.threshold import Threshold
from training.calibrate import expectation
from training.table import lines_of


def model_card(fields: Mapping[str, Any], threshold: Threshold) -> str:
    """Return Markdown from the fields of a manifest.

    Args:
        fields: of ``models.manifest.Manifest``; ``metrics`` may be empty.
        threshold: what the promise is read from.
    """
    backbone = fields["backbone"]
    names = ", ".join(c["display_name"] for c in fields["classes"])
    sections = [
        f"# {fields['name']}, version {fields['version']}",
        f"Classifies images into {len(fields['classes'])} classes and refuses what does not look "
        f"like its calibration images: it {expectation(threshold)}.",
        f"**Classes.** {names}.",
        f"**Encoder.** {backbone['name']}, weights {backbone['pretrained']}, licence: "
        f"{backbone['licence']}. Source: {backbone['source']}.",
        f"**Tuning.** {fields['tuning']}; score: {fields['score']['name']}; calibrated on "
        f"{threshold.n} images, threshold {threshold.value:.4f}.",
        "**Limits.** How often known images are refused is promised, if they resemble the "
        "calibration images. How many unknown images are caught is measured, not promised. It is "
        "no defence against adversarial uploads.",
    ]
    if fields["metrics"]:
        sections.append("```\n" + "\n".join(lines_of(fields["metrics"])) + "\n```")
    return "\n\n".join(sections) + "\n"
