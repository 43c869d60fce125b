"""training.encoders."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.encoder import OnnxEncoder
from models.errors import BackboneError, ConfigError
from tests.training.test_pipeline import foreign_encoder
from training.class_names import ClassSpec, default_spec
from training.encoders import EncoderRequest, check_encoder, open_encoder

CLASSES = [default_spec(name) for name in ("elsewhere", "gadget", "widget")]
TRAIN_ND = np.eye(3, 8, dtype=np.float32)
LABELS_N = np.arange(3)


def test_half_of_a_foreign_encoder_is_refused(tmp_path: Path) -> None:
    """The three files belong together, and aliases to them."""
    with pytest.raises(ConfigError, match="belong together: give all three, or none"):
        EncoderRequest(encoder=tmp_path / "encoder.onnx")
    with pytest.raises(ConfigError, match="belong together: give all three, or none"):
        EncoderRequest(text_features=tmp_path / "text.npz")
    with pytest.raises(ConfigError, match="`--aliases` are for `--text-features`"):
        EncoderRequest(aliases=tmp_path / "aliases.toml")
    with pytest.raises(ConfigError, match="`--pretrained` is for `--backbone`"):
        replace(foreign_encoder(tmp_path), pretrained="openai")


@pytest.mark.parametrize("field", ["encoder", "spec", "text_features", "aliases"])
def test_a_lost_file_of_a_foreign_encoder_is_found_without_opening_it(
    tmp_path: Path, field: str
) -> None:
    """What is there passes the same check."""
    request = foreign_encoder(tmp_path)
    check_encoder(request)
    changes: dict[str, Any] = {field: tmp_path / "lost"}

    with pytest.raises(ConfigError, match=str(tmp_path / "lost")):
        check_encoder(replace(request, **changes))


def test_a_foreign_encoder_is_fed_as_its_spec_says(tmp_path: Path) -> None:
    """Size, scale and licence are the spec's; the graph takes pixels and gives embeddings."""
    dual = open_encoder(foreign_encoder(tmp_path), CLASSES, cache=tmp_path / "cache")
    encoder = OnnxEncoder(dual.exported.path)

    assert (dual.name, dual.pretrained, dual.licence) == ("foreign", "foreign.onnx", "MIT")
    assert (dual.preprocess.resize, dual.preprocess.crop, encoder.size) == (16, 16, 16)
    assert (encoder.digest, encoder.dim) == (dual.exported.digest, 8)
    assert dual.text(TRAIN_ND, LABELS_N).logit_scale == 20


def test_classes_without_text_are_listed(tmp_path: Path) -> None:
    """The note names them, and that text was moved; there is none where all have text."""
    request = foreign_encoder(tmp_path)
    dual = open_encoder(request, CLASSES, cache=tmp_path / "cache")
    source = dual.text(TRAIN_ND, LABELS_N)

    assert source.features_KD.shape == (3, 8)
    assert source.backbone is None
    assert len(dual.notes) == 1
    assert dual.notes[0].startswith("2 of 3 classes have no text feature")
    assert dual.notes[0].endswith("gadget, widget.")

    aliases = tmp_path / "aliases.toml"
    aliases.write_text('gadget = "elsewhere"\nwidget = ["elsewhere"]')
    complete = open_encoder(replace(request, aliases=aliases), CLASSES, cache=tmp_path / "cache")
    complete.text(TRAIN_ND, LABELS_N)
    assert complete.notes == []


def test_wrong_aliases_are_refused_before_any_image_is_embedded(tmp_path: Path) -> None:
    """Opening the encoder is early enough; tuning would be hours too late."""
    aliases = tmp_path / "aliases.toml"
    aliases.write_text('gadget = "nowhere"')
    request = replace(foreign_encoder(tmp_path), aliases=aliases)

    with pytest.raises(ConfigError, match="`gadget` points at nowhere: not in the features"):
        open_encoder(request, CLASSES, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("backbone", "pretrained", "message"),
    [
        ("ViT-B-17", "random", "no architecture `ViT-B-17`. Near it are ViT-B-16"),
        ("ViT-B-16", "laion3b", "has no weights `laion3b`. Its tags: openai, .*Cached on this"),
        ("toybox", "laion3b", "`toybox` has no weights `laion3b`"),
        ("ViT-B-16", "lost.safetensors", "No file of weights at lost.safetensors"),
    ],
)
def test_unknown_backbones_say_what_there_is(
    tmp_path: Path, backbone: str, pretrained: str, message: str
) -> None:
    """Neither architecture nor weights are guessed."""
    request = EncoderRequest(backbone=backbone, pretrained=pretrained)

    with pytest.raises(BackboneError, match=message):
        open_encoder(request, CLASSES, cache=tmp_path)
    with pytest.raises(BackboneError, match=message):
        check_encoder(request)


def test_the_toybox_brings_its_text_encoder(tmp_path: Path) -> None:
    """Its classes come from prompts, so that no training image is looked at."""
    classes = [default_spec("kettle"), default_spec("umbrella")]
    dual = open_encoder(EncoderRequest(backbone="toybox"), classes, cache=tmp_path)
    source = dual.text(np.empty((0, 0), dtype=np.float32), np.empty(0, dtype=np.int64))

    assert source.features_KD.shape == (2, OnnxEncoder(dual.exported.path).dim)
    assert source.class_names == ("kettle", "umbrella")
    assert source.negatives is None
    assert dual.notes == []


def test_negative_names_are_encoded_as_classes_are(tmp_path: Path) -> None:
    """With the wording that classes share: a name that could be a class has its feature."""
    prompts = {name: (f"a drawing of a {name}",) for name in ("kettle", "traffic cone")}
    classes = [ClassSpec(name=n, display_name=n, prompts=p) for n, p in prompts.items()]
    request = EncoderRequest(backbone="toybox")
    dual = open_encoder(request, classes[:1], cache=tmp_path, negatives=["traffic_cone", "whale"])
    both = open_encoder(request, classes, cache=tmp_path)
    source, expected = (
        d.text(np.empty((0, 0), dtype=np.float32), np.empty(0, dtype=np.int64))
        for d in (dual, both)
    )

    assert source.negatives is not None
    assert source.negatives.names == ("traffic cone", "whale")
    np.testing.assert_allclose(source.negatives.features_MD[0], expected.features_KD[1], atol=1e-6)


def test_negative_names_of_a_foreign_encoder_are_looked_up(tmp_path: Path) -> None:
    """They move with the classes that have text; without such a class they mean nothing."""
    request = with_features(foreign_encoder(tmp_path), "elsewhere", "far away")
    names = ["far_away", "nowhere"]
    dual = open_encoder(request, CLASSES, cache=tmp_path / "cache", negatives=names)
    plain = open_encoder(request, [CLASSES[0]], cache=tmp_path / "cache", negatives=names)
    moved, still = (d.text(TRAIN_ND, LABELS_N[::-1]).negatives for d in (dual, plain))

    assert dual.notes[0].endswith("no text feature, and are left out: nowhere.")
    assert moved is not None
    assert still is not None
    assert moved.names == still.names == ("far_away",)
    np.testing.assert_allclose(still.features_MD, np.eye(2, 8)[1:])
    assert np.abs(moved.features_MD - still.features_MD).max() > 0.1
    with pytest.raises(ConfigError, match="has none of the negative names: nowhere"):
        open_encoder(request, CLASSES, cache=tmp_path / "cache", negatives=["nowhere"])
    with pytest.raises(ConfigError, match="No class has a text feature: negative names have"):
        open_encoder(request, CLASSES[1:], cache=tmp_path / "cache", negatives=names)


def with_features(request: EncoderRequest, *names: str) -> EncoderRequest:
    """Replace the text features by one axis a name."""
    assert request.text_features is not None
    features_TD = np.eye(len(names), 8, dtype=np.float32)
    np.savez(request.text_features, class_names=np.array(names), features=features_TD)
    return request
