"""Tuning learns, repeats itself bit for bit, and keeps the best epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.errors import ConfigError
from models.head import Head
from tests.backbones import tiny_backbone
from training.tune import Negatives, TextSource, TuneConfig, Tuned, tune, zero_shot

# Axes: N images, V views, K classes, D embedding.

CLASSES, DIM = 4, 16
QUICK = TuneConfig(epochs=8, batch_size=16, learning_rate=0.01)
PLAIN = replace(QUICK, lambda_1=0.0, lambda_2=0.0, gen_steps=0)

Set = tuple[NDArray[np.float32], NDArray[np.int64]]


def images(count: int, *, views: int = 3, seed: int = 0) -> Set:
    """Return embeddings (N, V, D) of clusters, and labels; the text points beside the clusters."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(count) % CLASSES
    centres_KD = np.random.default_rng(99).standard_normal((CLASSES, DIM))
    noise_NVD = 0.7 * rng.standard_normal((count, views, DIM))
    return (5 * (centres_KD[labels_N][:, None] + noise_NVD)).astype(np.float32), labels_N


def text() -> TextSource:
    """Return class features that only roughly fit the clusters."""
    centres_KD = np.random.default_rng(99).standard_normal((CLASSES, DIM))
    noise_KD = np.random.default_rng(7).standard_normal((CLASSES, DIM))
    features_KD = (centres_KD + 1.4 * noise_KD).astype(np.float32)
    return TextSource(features_KD=features_KD, logit_scale=20.0, name="made up")


def accuracy(tuned: Tuned, data: Set) -> float:
    """Return the share of first views that the served head gets right."""
    head = Head(tuned.image_transform_DD, tuned.prototypes_KD, tuned.logit_scale)
    return float(np.mean(head.logits(data[0][:, 0]).argmax(axis=1) == data[1]))


def test_zero_shot_is_the_text_itself() -> None:
    """The untuned head compares raw embeddings with the text features."""
    tuned = zero_shot(text())
    np.testing.assert_array_equal(tuned.image_transform_DD, np.eye(DIM, dtype=np.float32))
    features_KD = text().features_KD
    expected_KD = features_KD / np.linalg.norm(features_KD, axis=1, keepdims=True)
    np.testing.assert_allclose(tuned.prototypes_KD, expected_KD, rtol=1e-6)


@pytest.mark.parametrize("config", [QUICK, PLAIN], ids=["croft", "cross-entropy"])
def test_tuning_learns_what_the_text_does_not_say(config: TuneConfig) -> None:
    """On fresh images of the same clusters the tuned head beats the untuned one."""
    fresh = images(400, seed=5)
    tuned = tune(*images(64), text=text(), config=config)
    assert accuracy(tuned, fresh) > accuracy(zero_shot(text()), fresh) + 0.05


def test_the_same_seed_gives_the_same_bits() -> None:
    """Two runs are identical, on any number of threads; another seed differs."""
    first = tune(*images(64), text=text(), config=QUICK)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    second = tune(*images(64), text=text(), config=QUICK)
    left_alone = torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)
    other = tune(*images(64), text=text(), config=replace(QUICK, seed=1))
    assert np.array_equal(first.image_transform_DD, second.image_transform_DD)
    assert np.array_equal(first.prototypes_KD, second.prototypes_KD)
    assert first.history == second.history
    assert left_alone
    assert not np.array_equal(first.prototypes_KD, other.prototypes_KD)


def test_doubling_the_coordinates_changes_nothing() -> None:
    """Learning rates and lambdas depend on D no more than the losses do."""
    embeddings_NVD, labels_N = images(32)
    wide_NVD = np.concatenate([embeddings_NVD, embeddings_NVD], axis=2)
    source = text()
    wide = replace(source, features_KD=np.tile(source.features_KD, (1, 2)))
    config = replace(QUICK, lambda_1=0.0, gen_steps=0, lambda_2=5.0)  # the generator starts random
    narrow_losses = tune(embeddings_NVD, labels_N, text=source, config=config).history[-1]
    wide_losses = tune(wide_NVD, labels_N, text=wide, config=config).history[-1]
    assert narrow_losses["energy_gradient"] > 0
    assert wide_losses == pytest.approx(narrow_losses, rel=1e-3)


def test_a_heavier_penalty_makes_the_energy_flatter() -> None:
    """lambda_2 buys a smaller squared gradient, which is what it is for."""
    flat, steep = (
        tune(*images(64), text=text(), config=replace(QUICK, lambda_2=weight))
        for weight in (20.0, 0.1)
    )
    assert flat.history[-1]["energy_gradient"] / 20 < steep.history[-1]["energy_gradient"] / 0.1


def test_history_has_every_term_of_every_epoch() -> None:
    """The losses are named; epoch 0 is the untuned model and has none."""
    tuned = tune(*images(32), text=text(), config=QUICK)
    assert [entry["epoch"] for entry in tuned.history] == list(range(9))
    terms = {"epoch", "cross_entropy", "shifted", "energy_gradient", "decay"}
    assert tuned.history[0] == {"epoch": 0.0}
    assert all(set(entry) == terms for entry in tuned.history[1:])
    assert tuned.history[-1]["cross_entropy"] < tuned.history[1]["cross_entropy"]


def test_cross_entropy_alone_has_no_other_term() -> None:
    """Without generator and penalty nothing of them is computed."""
    tuned = tune(*images(32), text=text(), config=replace(PLAIN, decay=0.0))
    assert set(tuned.history[-1]) == {"epoch", "cross_entropy"}


def test_class_means_help_where_the_text_is_wrong() -> None:
    """Two names interchanged, and hardly any tuning: half of the mean puts them right."""
    swapped = replace(text(), features_KD=text().features_KD[[1, 0, *range(2, CLASSES)]])
    train, test = images(60), images(300, seed=1)

    def right(ratio_mean: float) -> float:
        config = TuneConfig(ratio_mean=ratio_mean, epochs=1, learning_rate=1e-9)
        return accuracy(tune(*train, text=swapped, config=config), test)

    assert right(0.5) > right(0.0) + 0.2


def test_names_that_are_no_class_move_with_the_means() -> None:
    """A name beside a class stays beside it."""
    source = text()
    negatives = Negatives(names=("none",), features_MD=source.features_KD[:1])
    train_NVD, labels_N = images(60)

    moved = replace(source, negatives=negatives).with_means(train_NVD[:, 0], labels_N, 0.5)

    assert moved.negatives is not None
    unit_KD = source.features_KD / np.linalg.norm(source.features_KD, axis=1, keepdims=True)
    shift_D = (moved.features_KD - unit_KD).mean(axis=0)
    np.testing.assert_allclose(moved.negatives.features_MD[0] - unit_KD[0], shift_D, atol=1e-6)


def test_without_images_to_select_by_the_last_epoch_is_kept() -> None:
    """Nothing else could decide."""
    assert tune(*images(32), text=text(), config=QUICK).epoch == 8


def test_the_latest_of_the_most_accurate_epochs_is_kept() -> None:
    """The kept epoch reaches the best accuracy, and no later one does."""
    select = images(60, seed=3)
    tuned = tune(*images(64), text=text(), config=QUICK, select=(select[0][:, 0], select[1]))
    accuracies = [entry["select_accuracy"] for entry in tuned.history]
    assert tuned.epoch == max(i for i, a in enumerate(accuracies) if a == max(accuracies))
    assert accuracy(tuned, select) == pytest.approx(max(accuracies))


def test_a_model_that_tuning_only_spoils_stays_untuned() -> None:
    """Trained on wrong labels, the untuned model is the best on the images to select by."""
    source, (select_NVD, labels_N) = text(), images(40, seed=3)
    source = replace(source, features_KD=np.stack([
        images(400)[0][images(400)[1] == k].mean(axis=(0, 1)) for k in range(CLASSES)
    ]))  # fmt: skip
    wrong = (labels_N + 1) % CLASSES
    tuned = tune(select_NVD, wrong, text=source, config=QUICK, select=(select_NVD[:, 0], labels_N))
    assert tuned.epoch == 0
    np.testing.assert_allclose(tuned.prototypes_KD, zero_shot(source).prototypes_KD, atol=1e-6)


def test_progress_counts_epochs() -> None:
    """The callback hears of every epoch, and how many there will be."""
    heard: list[tuple[int, int]] = []
    tune(*images(32), text=text(), config=QUICK, on_epoch=lambda *counts: heard.append(counts))
    assert heard == [(epoch, 8) for epoch in range(1, 9)]


def backbone_text(folder: Path) -> TextSource:
    """Return four classes behind a tiny text encoder."""
    prompts = {name: [f"a photo of a {name}."] for name in ("cup", "tree", "boat", "key")}
    return TextSource.of(
        tiny_backbone(folder),
        names=list(prompts),
        prompts=list(prompts.values()),
        negatives={name: prompts[name] for name in ("boat", "cup")},
    )


@pytest.mark.parametrize("class_specific", [False, True])
def test_prompt_tuning_moves_the_prototypes_alone(class_specific: bool, tmp_path: Path) -> None:
    """The image side stays the identity; the context is learned, repeatable and readable."""
    config = replace(QUICK, tuning="prompt", class_specific=class_specific)
    source = backbone_text(tmp_path)
    tuned, again = (tune(*images(32), text=source, config=config) for _ in range(2))
    np.testing.assert_array_equal(tuned.image_transform_DD, np.eye(DIM, dtype=np.float32))
    assert np.abs(tuned.prototypes_KD - zero_shot(source).prototypes_KD).max() > 1e-3
    assert tuned.history[-1]["cross_entropy"] < tuned.history[1]["cross_entropy"]
    assert np.array_equal(tuned.prototypes_KD, again.prototypes_KD)
    assert tuned.context_tokens_readable is not None
    assert len(tuned.context_tokens_readable) == 4


def test_prompts_and_adapters_are_tuned_together(tmp_path: Path) -> None:
    """Both sides move, and both losses fall below what prompts alone reach."""
    source = backbone_text(tmp_path)
    both = tune(*images(32), text=source, config=replace(QUICK, tuning="prompt+adapter"))
    prompts = tune(*images(32), text=source, config=replace(QUICK, tuning="prompt"))
    assert np.abs(both.image_transform_DD - np.eye(DIM)).max() > 1e-3
    assert both.context_tokens_readable is not None
    assert both.history[-1]["cross_entropy"] < prompts.history[-1]["cross_entropy"]


@pytest.mark.parametrize("tuning", ["adapter", "prompt", "prompt+adapter"])
def test_names_that_are_no_class_are_adapted_as_classes_are(tuning: Any, tmp_path: Path) -> None:
    """Called like a class they end on its prototype, in the epoch that is kept and untuned."""
    source, data = backbone_text(tmp_path), images(32)
    wrong = (data[0][:, 0], (data[1] + 1) % CLASSES)
    config = replace(QUICK, tuning=tuning)
    last, best = (tune(*data, text=source, config=config, select=s) for s in (None, wrong))
    assert best.epoch < last.epoch
    for tuned in (last, best, zero_shot(source)):
        assert tuned.negatives_MD is not None
        np.testing.assert_allclose(tuned.negatives_MD, tuned.prototypes_KD[[2, 0]], atol=1e-6)


def test_features_without_a_text_encoder_are_adapted_as_classes_are() -> None:
    """Of any length; without names there are none."""
    negatives = Negatives(names=("other",), features_MD=7 * text().features_KD[2:3])
    source = replace(text(), negatives=negatives)
    tuned = tune(*images(32), text=source, config=QUICK)
    assert tuned.negatives_MD is not None
    np.testing.assert_allclose(tuned.negatives_MD, tuned.prototypes_KD[2:3], atol=1e-6)
    assert tune(*images(32), text=text(), config=QUICK).negatives_MD is None


@pytest.mark.parametrize("tuning", ["prompt", "prompt+adapter"])
def test_prompt_tuning_without_a_text_encoder_is_refused_by_name(tuning: Any) -> None:
    """A foreign encoder has text features but no text encoder."""
    with pytest.raises(ConfigError, match="needs a text encoder, which `made up` does not have"):
        tune(*images(32), text=text(), config=replace(QUICK, tuning=tuning))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": "both"}, "`tuning` must be one of adapter, prompt, .* got 'both'"),
        ({"objective": "magic"}, "`objective` must be one of croft, official, got 'magic'"),
        ({"epochs": 0}, "`epochs` must be > 0, got 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be > 0, got nan"),
        ({"lambda_2": -1.0}, "`lambda_2` must be >= 0, got -1"),
        ({"ratio_text": 1.5}, r"`ratio_text` must be in 0\.\.1, got 1\.5"),
        ({"ratio_mean": -0.1}, r"`ratio_mean` must be in 0\.\.1, got -0\.1"),
        ({"ratio_mean": 0.5, "tuning": "prompt"}, "`ratio_mean` is 0.5, which is for `tuning` 'ad"),
        ({"ratio_mean": 0.5, "objective": "official"}, "objective 'croft'; got 'adapter' and 'off"),
        ({"context_length": 0}, "`context_length` must be >= 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message names the setting, what was given and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        replace(QUICK, **changes)


def test_embeddings_of_another_encoder_are_refused() -> None:
    """Image and text features of different D do not belong together."""
    embeddings_NVD, labels_N = images(32)
    with pytest.raises(ConfigError, match=r"must be \(N, V, 16\) with N labels, got \(32, 3, 8\)"):
        tune(embeddings_NVD[..., :8], labels_N, text=text(), config=QUICK)


def test_labels_without_a_class_are_refused() -> None:
    """A label beyond the classes is named before it becomes an index."""
    embeddings_NVD, labels_N = images(32)
    with pytest.raises(ConfigError, match=r"Labels must be 0\.\.3, for 4 classes"):
        tune(embeddings_NVD, labels_N + 1, text=text(), config=QUICK)
