"""A recorded run, and what the shipped weights can do."""

import json
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import load_file

from training.toybox.captions import ALIASES
from training.toybox.corpus import draw_corpus
from training.toybox.images import KNOWN, STYLES, UNKNOWN, Pixels, render
from training.toybox.pretrain import load_recipe, new_model
from training.toybox.record import (
    RECORD,
    WEIGHTS,
    accuracy,
    class_features,
    embed,
    pretrain_and_record,
)

SHIPPED = Path(str(files("models"))) / "toybox"


def reduced(name: str, seed: int, index: int) -> Pixels:
    """Return a photo of any object as the encoder gets it."""
    picture = Image.fromarray(render(name, "photo", seed=seed, index=index))
    return np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC))


@cache
def shipped() -> CLIP:
    """Return the model with the weights that come with the project."""
    model = new_model(0)
    model.load_state_dict(load_file(SHIPPED / WEIGHTS))
    return model.eval()


def test_shipped_weights_are_small_and_complete() -> None:
    """At most 16 MB of float16 cover every tensor of the configured model, and no other."""
    assert (SHIPPED / WEIGHTS).stat().st_size <= 16e6
    tensors = load_file(SHIPPED / WEIGHTS)
    expected = new_model(0).state_dict()
    assert {name: t.shape for name, t in tensors.items()} == {
        name: t.shape for name, t in expected.items()
    }
    assert all(t.dtype == torch.float16 for t in tensors.values() if t.is_floating_point())


def test_shipped_record_is_that_of_the_shipped_recipe() -> None:
    """The figures beside the weights come from the recipe as it stands."""
    record = json.loads((SHIPPED / RECORD).read_text(encoding="utf-8"))
    assert record["recipe"] == asdict(load_recipe())
    assert set(record["accuracy"]) == set(STYLES)


@pytest.mark.slow
def test_shipped_weights_reach_the_recorded_accuracy() -> None:
    """On the images that measured it, zero-shot accuracy is that of the record."""
    record = json.loads((SHIPPED / RECORD).read_text(encoding="utf-8"))
    config = replace(load_recipe(), processes=1)
    for style in ("photo", "sketch"):
        assert accuracy(shipped(), style, config) == pytest.approx(
            record["accuracy"][style], abs=0.01
        )


def test_record_and_documentation_agree() -> None:
    """The page about the Toybox quotes the recorded accuracy of every style."""
    record = json.loads((SHIPPED / RECORD).read_text(encoding="utf-8"))
    page = (SHIPPED.parents[1] / "docs" / "toybox.md").read_text(encoding="utf-8")
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for style, share in record["accuracy"].items():
        assert f"| {style} | {share:.1%} |".replace("%", " %") in page
        assert f"| {style} | {share:.1%} |".replace("%", " %") in card


def test_few_sketches_in_pretraining_leave_something_to_win() -> None:
    """Sketches are recognised clearly worse than photos and cartoons."""
    record = json.loads((SHIPPED / RECORD).read_text(encoding="utf-8"))["accuracy"]
    assert record["sketch"] < min(record["photo"], record["cartoon"]) - 0.1
    assert record["painting"] < min(record["photo"], record["cartoon"])


def test_shipped_features_set_unknown_objects_apart() -> None:
    """By names it knows well, energy ranks unknown photos above known ones: AUROC above 0.9."""
    aliases = tuple(ALIASES[name][0] for name in KNOWN)
    prototypes_KD = class_features(shipped(), aliases)
    jobs = [(name, "photo", 99, i, 64) for name in KNOWN for i in range(10)]
    known_BD = embed(shipped(), draw_corpus(jobs).pixels_NHWC)
    pixels = [reduced(name, 99, i) for name in UNKNOWN for i in range(20)]
    unknown_BD = embed(shipped(), np.stack(pixels))
    scale = shipped().logit_scale.exp()
    known, unknown = (
        -(scale * x @ prototypes_KD.T).logsumexp(dim=1) for x in (known_BD, unknown_BD)
    )
    assert float((unknown[:, None] > known[None]).float().mean()) > 0.9


@pytest.mark.slow
def test_a_run_leaves_weights_and_a_record(tmp_path: Path) -> None:
    """The folder holds loadable weights and the JSON of what was measured."""
    config = load_recipe(images=96, epochs=1, batch_size=48, warmup_steps=2, processes=1)
    record = pretrain_and_record(config, tmp_path)
    written = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    assert written["accuracy"] == record.accuracy
    assert all(0 <= share <= 1 for share in record.accuracy.values())
    assert written["recipe"]["images"] == 96
    new_model(0).load_state_dict(load_file(tmp_path / WEIGHTS))
