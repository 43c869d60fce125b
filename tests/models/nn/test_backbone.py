"""Any open_clip model loads from a configuration and a file, frozen and in float32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from models.errors import BackboneError
from models.nn.backbone import Backbone, Visual, load_backbone, weights_digest
from tests.backbones import TEXT, VISION, tiny_backbone, write_config, write_weights

# Axes: B batch, C channel, H height, W width, D embedding.


def test_a_backbone_says_what_it_is(tmp_path: Path) -> None:
    """Name, weights, size and width come from the two files."""
    config = write_config(tmp_path)
    backbone = load_backbone(str(config), str(write_weights(tmp_path, config)))
    assert (backbone.name, backbone.pretrained) == ("tiny", "tiny-0.safetensors")
    assert (backbone.preprocess.resize, backbone.preprocess.crop) == (32, 32)
    assert backbone.embedding_dim == 16
    assert backbone.logit_scale == pytest.approx(1 / 0.07, rel=1e-6)
    assert backbone.digest.startswith("sha256:")


def test_a_backbone_is_frozen_and_evaluates(tiny: Backbone) -> None:
    """Nothing in it can be trained by accident, and nothing behaves as in training."""
    assert not any(p.requires_grad for p in tiny.model.parameters())
    assert not tiny.visual.training


def test_float16_weights_become_float32(tmp_path: Path) -> None:
    """A file in half precision gives a model in single precision with the same values."""
    config = write_config(tmp_path)
    halves = {k: v.half() for k, v in load_file(write_weights(tmp_path, config)).items()}
    path = tmp_path / "half.pt"
    torch.save(halves, path)
    model = load_backbone(str(config), str(path)).model
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model.state_dict()["ln_final.weight"], halves["ln_final.weight"].float())


def test_the_digest_is_of_the_values_not_of_the_file(tmp_path: Path) -> None:
    """Two formats of the same weights have one digest; other weights have another."""
    config = write_config(tmp_path)
    first, other = (write_weights(tmp_path, config, seed=seed) for seed in (0, 1))
    torch.save({"state_dict": load_file(first)}, tmp_path / "first.pt")
    digests = [
        load_backbone(str(config), str(path)).digest
        for path in (first, tmp_path / "first.pt", other)
    ]
    assert digests[0] == digests[1] != digests[2]


class _Bomb:
    """What an attacker would put into a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    """A pickle that is more than a state dict is refused, unopened."""
    trace = tmp_path / "ran"
    torch.save({"state_dict": _Bomb(trace)}, tmp_path / "bad.pt")
    with pytest.raises(BackboneError, match=r"not a plain state dict.*runs no code"):
        load_backbone(str(write_config(tmp_path)), str(tmp_path / "bad.pt"))
    assert not trace.exists()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """The message names the file and the architecture it does not fit."""
    other = write_config(tmp_path, name="wide", vision_cfg=VISION | {"width": 48})
    weights = write_weights(tmp_path, other)
    with pytest.raises(
        BackboneError, match=r"wide-0\.safetensors does not hold weights of `.*tiny"
    ):
        load_backbone(str(write_config(tmp_path)), str(weights))


def test_an_unknown_architecture_names_its_neighbours() -> None:
    """A typing mistake is answered with what was probably meant."""
    with pytest.raises(BackboneError, match=r"no architecture `ViT-B16`.* ViT-B-16,"):
        load_backbone("ViT-B16", "openai")


def test_an_incomplete_configuration_names_what_is_missing(tmp_path: Path) -> None:
    """A JSON file that is no open_clip configuration is an error that says why."""
    path = tmp_path / "half.json"
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": VISION}), encoding="utf-8")
    with pytest.raises(BackboneError, match=r"half\.json: .*no \['text_cfg'\]"):
        load_backbone(str(path), "random")


def test_an_impossible_configuration_is_reported(tmp_path: Path) -> None:
    """What open_clip cannot build is an error with open_clip's reason."""
    config = write_config(tmp_path, text={"no_such_field": 1})
    with pytest.raises(BackboneError, match=r"cannot build .*no_such_field"):
        load_backbone(str(config), "random")


def test_a_picture_that_is_not_square_is_refused(tmp_path: Path) -> None:
    """Only square inputs have a place in the preprocessing."""
    config = write_config(tmp_path, vision_cfg=VISION | {"image_size": [32, 64]})
    with pytest.raises(BackboneError, match="32 x 64 pixels; only square"):
        load_backbone(str(config), "random")


def test_random_weights_follow_the_seed_and_leave_torch_alone(tmp_path: Path) -> None:
    """The same seed gives the same weights, and the caller's random numbers go on as before."""
    config = str(write_config(tmp_path))
    state = torch.get_rng_state()
    digests = [load_backbone(config, "random", seed=seed).digest for seed in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_preprocessing_of_a_published_configuration_is_kept(tmp_path: Path) -> None:
    """A file with ``model_cfg`` and ``preprocess_cfg`` states mean, std and filter."""
    path = tmp_path / "published.json"
    model_cfg = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
    stated = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "interpolation": "bilinear"}
    path.write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": stated}), "utf-8")
    backbone = load_backbone(str(path), "random")
    assert (backbone.mean, backbone.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert backbone.preprocess.interpolation == "bilinear"


def test_the_toybox_brings_its_weights() -> None:
    """The embedded default loads without a tag, from inside the package."""
    backbone = load_backbone("toybox")
    assert (backbone.name, backbone.pretrained, backbone.licence) == ("toybox", "toybox", "MIT")
    assert (backbone.preprocess.crop, backbone.embedding_dim) == (64, 128)
    assert backbone.digest == weights_digest(backbone.model)


@pytest.mark.parametrize("changes", [{}, {"custom_text": True}, {"text": {"pool_type": "last"}}])
def test_text_features_are_means_of_normalised_prompts(
    changes: dict[str, object], tmp_path: Path
) -> None:
    """Every text encoder gives what open_clip gives for each prompt, normalised and averaged."""
    backbone = tiny_backbone(tmp_path, **changes)
    prompts_K = [["a photo of a cup.", "a cup"], ["a much longer sentence about a chair."]]
    features_KD = backbone.text_features(prompts_K)
    for prompts, feature_D in zip(prompts_K, features_KD, strict=True):
        encoded = backbone.model.encode_text(backbone.tokenizer(prompts))  # type: ignore[operator]
        expected_D = normalize(encoded, dim=1).mean(dim=0).detach().numpy()
        np.testing.assert_allclose(feature_D, expected_D, atol=1e-6)


def test_many_prompts_keep_their_order(tiny: Backbone) -> None:
    """Prompts are encoded in batches; every class still gets its own feature."""
    prompts_K = [[f"thing {k}", f"a thing {k}"] for k in range(150)]
    features_KD = tiny.text_features(prompts_K)
    assert features_KD.shape == (150, 16)
    assert features_KD.dtype == np.float32
    np.testing.assert_allclose(features_KD[140], tiny.text_features([prompts_K[140]])[0], atol=1e-6)


def test_the_image_encoder_drops_what_is_no_embedding() -> None:
    """Some towers of open_clip return their tokens too."""

    class Tower(torch.nn.Module):
        def forward(self, pixels_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return pixels_BCHW.mean(dim=(2, 3)), pixels_BCHW

    embedding_BD = Visual(Tower())(torch.ones(2, 3, 4, 4))
    assert torch.equal(embedding_BD, torch.ones(2, 3))
