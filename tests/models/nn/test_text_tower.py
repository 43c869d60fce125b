"""The opened text encoder gives what open_clip gives, and slopes besides."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.errors import ConfigError
from models.nn.backbone import Backbone
from tests.backbones import tiny_backbone

# Axes: K texts, L tokens, W width of the text encoder, D embedding.

TEXTS = ["a photo of a cup.", "tree"]


def test_what_follows_the_end_of_text_does_not_matter(tiny: Backbone) -> None:
    """The features of cut texts are those of texts padded to the whole context."""
    tower = tiny.text_tower()
    ids_KL, last_K = tower.framed([tower.tokens(text) for text in TEXTS])
    assert ids_KL.shape[1] < 20
    features_KD = tower.encode(tower.embed(ids_KL), last_K)
    expected_KD = tiny.model.encode_text(tiny.tokenizer(TEXTS))  # type: ignore[operator]
    torch.testing.assert_close(features_KD, expected_KD, atol=1e-5, rtol=1e-5)


def test_features_can_be_differentiated_twice(tiny: Backbone) -> None:
    """A penalty on a gradient needs the gradient of a gradient."""
    tower = tiny.text_tower()
    ids_KL, last_K = tower.framed([tower.tokens(TEXTS[0])])
    embedded_KLW = tower.embed(ids_KL).requires_grad_()
    total = tower.encode(embedded_KLW, last_K).square().sum()
    (slope_KLW,) = torch.autograd.grad(total, embedded_KLW, create_graph=True)
    (second_KLW,) = torch.autograd.grad(slope_KLW.square().sum(), embedded_KLW)
    assert second_KLW.abs().max() > 0


def test_tokens_are_readable(tiny: Backbone) -> None:
    """A token's word has no trace of the tokenizer's marks."""
    tower = tiny.text_tower()
    assert [tower.word(token) for token in tower.tokens("a photo of")] == ["a", "photo", "of"]


def test_a_prompt_that_is_too_long_is_refused(tiny: Backbone) -> None:
    """The message has the length and the limit."""
    tower = tiny.text_tower()
    with pytest.raises(ConfigError, match=r"takes 32 tokens .* `tiny` reads 20"):
        tower.framed([tower.tokens("cup " * 30)])


@pytest.mark.parametrize(
    "text", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}]
)
def test_other_kinds_of_text_encoder_are_refused_by_name(
    text: dict[str, object], tmp_path: Path
) -> None:
    """Prompt tuning says which encoder it does not work with, and what works instead."""
    backbone = tiny_backbone(tmp_path, custom_text=True, text=text)
    with pytest.raises(ConfigError, match=r'`tiny` has another kind .*Use `tuning = "adapter"`'):
        backbone.text_tower()
