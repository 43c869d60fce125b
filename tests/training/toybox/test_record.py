"""A recorded run, and what the shipped weights can do."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file

from training.toybox.corpus import draw_corpus
from training.toybox.images import KNOWN, STYLES, UNKNOWN, render
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
    config = load_recipe()
    assert record["recipe"]["styles"] == config.styles
    assert {name: record["recipe"][name] for name in ("seed", "images", "epochs")} == {
        "seed": config.seed,
        "images": config.images,
        "epochs": config.epochs,
    }
    assert set(record["accuracy"]) == set(STYLES)


@pytest.mark.parametrize(
    ("style", "low", "high"),
    [
        ("photo", 0.9, 1.0),
        ("cartoon", 0.9, 1.0),
        ("painting", 0.5, 0.97),
        ("sketch", 0.4, 0.92),
    ],
)
def test_shipped_weights_know_photos_and_cartoons_better(
    style: str, low: float, high: float
) -> None:
    """Zero-shot accuracy on fresh images is high where training looked, lower elsewhere."""
    assert low <= accuracy(shipped(), style, load_recipe(processes=1), per_class=15) <= high


def test_shipped_weights_find_unknown_objects_unusual() -> None:
    """Zero-shot energy ranks unknown photos above known ones with an AUROC of at least 0.8."""
    prototypes_KD = class_features(shipped(), KNOWN)
    jobs = [(n, "photo", 99, i, 64) for n in KNOWN for i in range(10)]
    known = embed(shipped(), draw_corpus(jobs).pixels_NHWC)
    pixels = [render(n, "photo", seed=99, index=i, size=64) for n in UNKNOWN for i in range(10)]
    unknown = embed(shipped(), torch.tensor(pixels).numpy())
    scale = shipped().logit_scale.exp()
    energies = [-(scale * x @ prototypes_KD.T).logsumexp(dim=1) for x in (known, unknown)]
    assert float((energies[1][:, None] > energies[0][None]).float().mean()) >= 0.8


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
