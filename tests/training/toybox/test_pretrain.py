"""Pretraining: recipe, loss, augmentation, and a small run from images to weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from safetensors.torch import load_file
from torch.nn import functional

from models.errors import ConfigError
from training.toybox.captions import Naming
from training.toybox.pretrain import (
    PretrainConfig,
    augment,
    contrastive_loss,
    draw,
    load_recipe,
    new_model,
    pretrain,
    save,
)


def tiny() -> PretrainConfig:
    """Return the shipped recipe cut down to a few seconds."""
    return load_recipe(images=192, epochs=4, batch_size=48, warmup_steps=4, processes=1)


def test_the_shipped_recipe_shows_few_sketches_and_paintings() -> None:
    """Photos and cartoons dominate, so that tuning has something to win."""
    config = load_recipe()
    assert config.styles["sketch"] + config.styles["painting"] <= 0.1
    assert config.styles["sketch"] > 0


def test_a_wrong_recipe_is_refused(tmp_path: Path) -> None:
    """Unknown settings and impossible values are named."""
    with pytest.raises(ConfigError, match=r"`epochs` must be > 0, got 0\."):
        load_recipe(epochs=0)
    with pytest.raises(ConfigError, match="`styles` must share 1 among photo"):
        replace(load_recipe(), styles={"photo": 0.5})
    path = tmp_path / "recipe.toml"
    path.write_text("epoch = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"Unknown or missing setting .*'epoch'"):
        load_recipe(path)
    with pytest.raises(ConfigError, match=r"`own` must lie in \[0, 1\], got 2\."):
        Naming(own=2.0, borrowed=0.0)


def test_loss_is_clips_own_when_only_the_diagonal_is_true() -> None:
    """With one true caption per image it equals open_clip's contrastive loss."""
    images_BD, texts_BD = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    ours = contrastive_loss(images_BD, texts_BD, torch.eye(6), torch.tensor(10.0))
    theirs = ClipLoss()(
        functional.normalize(images_BD), functional.normalize(texts_BD), torch.tensor(10.0)
    )
    torch.testing.assert_close(ours, theirs)


def test_loss_does_not_punish_a_second_true_caption() -> None:
    """Two images with the same caption reach the least loss that their shared target allows."""
    features_BD = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    true = contrastive_loss(features_BD, features_BD, torch.ones(2, 2), torch.tensor(50.0))
    assert float(true) == pytest.approx(np.log(2), abs=1e-6)


def test_augmentation_keeps_the_format_and_changes_the_picture() -> None:
    """Shifted, mirrored copies have the same shape and type, and repeat with the seed."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    first, again = (augment(pixels, np.random.default_rng(1)) for _ in range(2))
    assert (first.shape, first.dtype) == (pixels.shape, pixels.dtype)
    np.testing.assert_array_equal(first, again)
    assert (first != pixels).mean() > 0.5


def test_fresh_weights_depend_on_the_seed_alone() -> None:
    """The same seed gives the same model, whatever torch's own generator has done before."""
    first = new_model(1).state_dict()
    torch.rand(3)
    again, other = new_model(1).state_dict(), new_model(2).state_dict()
    assert torch.equal(first["visual.conv1.weight"], again["visual.conv1.weight"])
    assert not torch.equal(first["visual.conv1.weight"], other["visual.conv1.weight"])


def test_too_few_images_for_a_batch_are_refused() -> None:
    """A run of no steps at all is an error that names both numbers."""
    config = load_recipe(images=36, batch_size=4096, processes=1)
    with pytest.raises(ConfigError, match="`batch_size` 4096 is more than"):
        pretrain(config, draw(config))


@pytest.mark.slow
def test_a_tiny_run_lowers_the_loss_and_writes_weights_that_load(tmp_path: Path) -> None:
    """A few steps learn something, and the float16 file restores the model."""
    config = tiny()
    model, history = pretrain(config, draw(config))
    assert history[-1] < history[0] - 0.1
    save(model, tmp_path / "weights.safetensors")
    tensors = load_file(tmp_path / "weights.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16, torch.int64}
    restored = new_model(0)
    restored.load_state_dict(tensors)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = model.encode_image(pixels), restored.eval().encode_image(pixels)
    torch.testing.assert_close(after, before, rtol=0.02, atol=0.02)
