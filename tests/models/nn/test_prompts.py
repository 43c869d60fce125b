"""Learned contexts start as words, go through the frozen text encoder, and can be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import ConfigError
from models.nn.backbone import Backbone
from models.nn.prompts import Prompts

# Axes: K classes, L context vectors, W width of the text encoder, D embedding.

NAMES = ["cup", "rocking chair", "tree"]


@pytest.mark.parametrize("class_specific", [False, True])
def test_an_untuned_context_is_its_words(tiny: Backbone, class_specific: bool) -> None:
    """The first features are those of the sentence that the context starts from."""
    prompts = Prompts(tiny.text_tower(), NAMES, words="a photo of a", class_specific=class_specific)
    expected_KD = tiny.text_features([[f"a photo of a {name}."] for name in NAMES])
    features_KD = torch.nn.functional.normalize(prompts(), dim=1).detach().numpy()
    np.testing.assert_allclose(features_KD, expected_KD, atol=1e-5)


def test_the_context_is_in_units_of_the_vocabulary(tiny: Backbone) -> None:
    """Words have a length of about one, whatever the scale of the text encoder's embeddings."""
    prompts = Prompts(tiny.text_tower(), NAMES, words="a photo of a")
    lengths_L = prompts.context.detach().norm(dim=1)
    assert 0.5 < float(lengths_L.mean()) < 2


@pytest.mark.parametrize(
    ("length", "words"),
    [(2, ["of", "a"]), (4, ["a", "photo", "of", "a"]), (6, ["of", "a", "a", "photo", "of", "a"])],
)
def test_any_length_can_be_filled_with_words(tiny: Backbone, length: int, words: list[str]) -> None:
    """Shorter contexts lose words at the front, longer ones repeat them."""
    prompts = Prompts(tiny.text_tower(), NAMES, words="a photo of a", length=length)
    assert prompts.context.shape == (length, 32)
    assert prompts.readable() == words


def test_contexts_of_classes_are_read_by_class(tiny: Backbone) -> None:
    """Class-specific contexts (K, L, W) give one line each."""
    prompts = Prompts(tiny.text_tower(), NAMES, words="a photo of", class_specific=True)
    assert prompts.context.shape == (3, 3, 32)
    assert prompts.readable()[1] == "rocking chair: a photo of"


def test_the_nearest_word_follows_the_context(tiny: Backbone) -> None:
    """A vector moved onto another word's embedding is read as that word."""
    tower = tiny.text_tower()
    prompts = Prompts(tower, NAMES, words="a photo")
    token = tower.tokens("sketch")[0]
    unit = tower.vocabulary_ZW.square().sum(dim=1).mean().sqrt()
    with torch.no_grad():
        prompts.context[1] = tower.vocabulary_ZW[token] / unit
    assert prompts.readable() == ["a", "sketch"]


def test_only_the_context_has_a_slope(tiny: Backbone) -> None:
    """Training reaches the context through the text encoder and leaves the encoder alone."""
    prompts = Prompts(tiny.text_tower(), NAMES, words="a photo of a")
    prompts().square().sum().backward()
    assert prompts.context.grad is not None
    assert prompts.context.grad.abs().max() > 0
    assert [name for name, _ in prompts.named_parameters()] == ["context"]
    assert all(p.grad is None for p in tiny.model.parameters())


def test_other_names_stand_behind_the_learned_context(tiny: Backbone) -> None:
    """A name gets the features of a class of that name, in however many batches."""
    prompts = Prompts(tiny.text_tower(), NAMES, words="a photo of a")
    with torch.no_grad():
        prompts.context.add_(torch.randn(prompts.context.shape, generator=torch.manual_seed(0)))
    many = NAMES * 100
    features_MD = prompts.of_others(many)
    expected_KD = prompts().detach().numpy()
    np.testing.assert_allclose(features_MD[:3].numpy(), expected_KD, atol=1e-5)
    np.testing.assert_allclose(features_MD[-3:].numpy(), expected_KD, atol=1e-5)


def test_other_names_share_the_mean_of_contexts_of_classes(tiny: Backbone) -> None:
    """None of the contexts is theirs."""
    of_classes = Prompts(tiny.text_tower(), NAMES, words="a photo of a", class_specific=True)
    shared = Prompts(tiny.text_tower(), NAMES, words="a photo of a")
    with torch.no_grad():
        noise_KLW = torch.randn(of_classes.context.shape, generator=torch.manual_seed(0))
        of_classes.context.add_(noise_KLW)
        shared.context.copy_(of_classes.context.mean(dim=0))
    features_MD = of_classes.of_others(["lamp"])
    np.testing.assert_allclose(features_MD.numpy(), shared.of_others(["lamp"]).numpy(), atol=1e-5)


def test_a_context_needs_words(tiny: Backbone) -> None:
    """An empty beginning is refused by the setting's name."""
    with pytest.raises(ConfigError, match="`context_words` must hold at least one word, got ' '"):
        Prompts(tiny.text_tower(), NAMES, words=" ")


def test_a_context_that_leaves_no_room_is_refused(tiny: Backbone) -> None:
    """Context and class name together must fit the text encoder."""
    with pytest.raises(ConfigError, match="shorten the context or the class names"):
        Prompts(tiny.text_tower(), NAMES, words="a", length=18)
