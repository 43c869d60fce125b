"""Every protocol's trials can be judged: trained on, embedded, compared."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest

from tests.backbones import write_config
from tests.training.protocols.roots import domain_root, imagenet_root
from training.comparison.run import compare
from training.encoders import EncoderRequest
from training.protocols.published import PROTOCOLS

TRAINED_ON = ("imagenet", "imagenet, 4 a class")
"""Known sets from where training images are from."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "as_published", "without"),
    [
        ("setup1", False, ["sketch", "imagenet-a", "imagenet-r"]),
        ("setup2-pacs", True, ["food-101"]),
        ("setup2-vlcs", False, []),
    ],
)
def test_a_trial_is_judged(
    tmp_path: Path, name: str, as_published: bool, without: list[str]
) -> None:
    """Each known set against each unknown one, all figures finite; shifts are told apart."""
    root = tmp_path / "data"
    if name == "setup1":
        imagenet_root(root, train=2, val=1)
    else:
        domain_root(root, images=6)
    protocol = PROTOCOLS[name]
    trial = next(protocol.trials(root, shots=1, as_published=as_published, without=without))
    rows = compare(
        [trial],
        EncoderRequest(backbone=str(write_config(tmp_path)), pretrained="random"),
        methods=["zero-shot", "cross-entropy"],
        scores=["energy"],
        cache=tmp_path / "cache",
    )
    known = [n if n in TRAINED_ON else f"{n} (shifted)" for n in trial.known]
    assert [(row["method"], row["known"], row["unknown"]) for row in rows] == list(
        product(("zero-shot", "cross-entropy"), known, trial.unknown)
    )
    assert all(math.isfinite(row["accuracy"]) and 0 <= row["auroc"] <= 1 for row in rows)
