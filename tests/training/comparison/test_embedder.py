"""Trials in embeddings: each image once, the right rows, the right text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.preprocess import Preprocess
from tests.backbones import tiny_backbone
from tests.helpers import FakeEncoder, make_folders
from training.class_names import ClassSpec
from training.comparison.embedder import Classes, Embedder, judged_items, trained_items
from training.comparison.judge import Task
from training.comparison.trials import held_out_trials
from training.data import Item, load_dataset
from training.encoders import MakeText
from training.selection.surrogates import TextureView
from training.split import SplitConfig
from training.trial import Trial
from training.tune import TextSource
from training.views import ViewConfig

DIM = 16


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """Hold out each of two domains for two seeds; a third folder is unknown."""
    root = tmp_path_factory.mktemp("embedder")
    data, _ = load_dataset(
        make_folders(root / "known", {"cat": 8, "dog": 8}, domains=("photo", "sketch"))
    )
    rocks, _ = load_dataset(make_folders(root / "unknown", {"rock": 5, "stone": 1}, seed=1))
    config = SplitConfig(calibrate_first=1)
    return list(held_out_trials(data, config=config, seeds=(1, 2), unknown={"rocks": rocks.items}))


def features(classes: Classes) -> MakeText:
    """Return text features that are known beforehand."""
    return lambda *_: TextSource(
        features_KD=np.eye(len(classes), DIM, dtype=np.float32), logit_scale=20.0, name="fake"
    )


def embedder(encoder: FakeEncoder, folder: Path) -> Embedder:
    """Return an embedder of small pictures, with three views to train on."""
    return Embedder(
        encoder=encoder,
        preprocess=Preprocess(resize=32, crop=32, interpolation="bicubic"),
        text=features,
        cache=folder,
        views=ViewConfig(count=3),
    )


def tasks(made: Embedder, trials: list[Trial]) -> list[Task]:
    """Embed everything, without a progress bar."""
    plain = made.plain(judged_items(trials), lambda *_: None)
    return list(made.tasks(trials, plain))


def test_every_image_is_embedded_once(trials: list[Trial], tmp_path: Path) -> None:
    """Trials share them, and a second comparison finds all of them in the cache."""
    encoder, again = FakeEncoder(dim=DIM), FakeEncoder(dim=DIM)
    judged = {i.digest for t in trials for s in (*t.known.values(), t.select) for i in s}
    viewed = {(t.seed, i.digest) for t in trials for i in t.train}

    tasks(embedder(encoder, tmp_path), trials)
    tasks(embedder(again, tmp_path), trials)

    assert encoder.images == len(judged) + 6 + 3 * len(viewed)
    assert again.images == 0
    assert len(judged_items(trials)) == len(judged) + 6
    assert {(s, i.digest) for s, items in trained_items(trials).items() for i in items} == viewed


def test_rows_are_those_of_the_images(trials: list[Trial], tmp_path: Path) -> None:
    """Embedded here once more; labels are places in the trial's classes."""
    encoder = FakeEncoder(dim=DIM)
    made, trial = embedder(encoder, tmp_path), trials[1]

    task = tasks(made, trials)[1]

    def plain(path: Path) -> list[float]:
        image = made.preprocess.open(path.read_bytes())
        return list(encoder.embed(made.preprocess.fit(image)[None])[0])

    name = trial.name
    x_ND, labels_N = task.known[f"{name} (shifted)"]
    np.testing.assert_array_equal(x_ND, [plain(item.path) for item in trial.known[name]])
    assert [("cat", "dog")[k] for k in labels_N] == [item.label for item in trial.known[name]]
    np.testing.assert_array_equal(
        task.unknown["rocks"], [plain(item.path) for item in trial.unknown["rocks"]]
    )
    assert task.shots.train_NVD.shape == (len(trial.train), 3, DIM)
    np.testing.assert_array_equal(
        task.shots.train_NVD[:, 0], [plain(item.path) for item in trial.train]
    )
    assert np.abs(task.shots.train_NVD[:, 1] - task.shots.train_NVD[:, 0]).max() > 0.01
    assert task.shots.select is not None
    np.testing.assert_array_equal(task.shots.select[0], [plain(item.path) for item in trial.select])
    assert (task.name, task.shots.seed) == (trial.name, trial.seed)


def test_selection_sees_domains_and_images_without_objects(
    trials: list[Trial], tmp_path: Path
) -> None:
    """Each seed its own; images without objects only if asked for, as they cost a view."""
    photos, sketches = load_domains(trials)
    mixed = replace(trials[1], train=(*photos, *sketches, *photos))
    encoder = FakeEncoder(dim=DIM)
    made = embedder(encoder, tmp_path)

    (usual,) = tasks(made, [mixed])
    before = encoder.images
    (task,) = tasks(replace(made, with_textures=True), [mixed])

    expected_N = [0] * len(photos) + [1] * len(sketches) + [0] * len(photos)
    for shots in (usual.shots, task.shots):
        np.testing.assert_array_equal(shots.domains_N, expected_N)
        assert shots.units_N is not None
        same_NN = shots.units_N[:, None] == shots.units_N
        assert same_NN.sum() == 4 * len(photos) + len(sketches)
    assert usual.shots.texture_ND is None
    assert encoder.images == before + len({*photos, *sketches})
    texture_ND = task.shots.texture_ND
    assert texture_ND is not None
    assert texture_ND.shape == (len(mixed.train), DIM)
    item, views = mixed.train[1], TextureView(seed=mixed.seed)
    image = made.preprocess.open(item.path.read_bytes())
    pixels = views.pixels(image, made.preprocess, digest=item.digest, view=0)
    np.testing.assert_array_equal(texture_ND[1], encoder.embed(pixels[None])[0])


def test_without_domains_there_are_no_indices(trials: list[Trial], tmp_path: Path) -> None:
    """Selection then takes parts of each class in turn."""
    bare = tuple(replace(item, domain=None) for item in trials[0].train)
    (task,) = tasks(embedder(FakeEncoder(dim=DIM), tmp_path), [replace(trials[0], train=bare)])
    assert task.shots.domains_N is None


def load_domains(trials: list[Trial]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return a few training images of each of the two domains."""
    by_domain = {trial.train[0].domain: trial.train[:3] for trial in trials}
    return by_domain["photo"], by_domain["sketch"]


def test_without_images_to_select_by_there_are_none(trials: list[Trial], tmp_path: Path) -> None:
    """Methods then take what they take without."""
    (task,) = tasks(embedder(FakeEncoder(dim=DIM), tmp_path), [replace(trials[0], select=())])
    assert task.shots.select is None


def test_a_text_encoder_gives_the_single_template_too(trials: list[Trial], tmp_path: Path) -> None:
    """Where classes have several prompts; it reads them once for all trials."""
    backbone = tiny_backbone(tmp_path)
    calls = []

    def text(classes: Classes) -> MakeText:
        def make(*_: object) -> TextSource:
            calls.append(classes)
            names = [spec.display_name for spec in classes]
            return TextSource.of(backbone, names=names, prompts=[s.prompts for s in classes])

        return make

    several = tuple(
        ClassSpec(name=n, display_name=f"a {n}", prompts=(f"{n} one.", f"{n} two."))
        for n in ("cat", "dog")
    )
    made = replace(embedder(FakeEncoder(dim=DIM), tmp_path / "cache"), text=text)

    first, second = tasks(made, [replace(trial, classes=several) for trial in trials[:2]])

    assert calls == [several]
    for task in (first, second):
        expected = backbone.text_features([["a photo of a a cat."], ["a photo of a a dog."]])
        np.testing.assert_array_equal(task.shots.single, expected)
        assert np.abs(expected - task.shots.text.features_KD).max() > 0.001
    (usual,) = tasks(made, trials[:1])
    assert usual.shots.single is None
