"""training.text_features."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigError
from training.class_names import default_spec
from training.text_features import (
    TextTable,
    class_features,
    load_aliases,
    negative_features,
    with_means,
)

CLASSES = [default_spec("golden_retriever"), default_spec("bird"), default_spec("gadget")]
TRAIN_ND = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 3], [0, 3, 3]], dtype=np.float32)
LABELS_N = np.array([0, 1, 2, 2])


def table(tmp_path: Path) -> TextTable:
    """Return a table of four names."""
    path = tmp_path / "text.npz"
    names = np.array(["Golden Retriever", "robin", "jay", "tench"])
    np.savez(path, class_names=names, features=np.eye(4, 3, dtype=np.float32) * 7 + 0.1)
    return TextTable.load(path)


def test_names_aliases_and_images_fill_the_table(tmp_path: Path) -> None:
    """A class that is neither there nor an alias is the mean of its images, and is named."""
    features_KD, missing, _ = class_features(
        CLASSES, table(tmp_path), {"bird": ["robin", "jay"]}, TRAIN_ND, LABELS_N
    )

    assert missing == ["gadget"]
    np.testing.assert_allclose(np.linalg.norm(features_KD, axis=1), 1, rtol=1e-6)
    expected_D = np.array([0, np.sqrt(0.5), 1 + np.sqrt(0.5)])
    np.testing.assert_allclose(features_KD[2], expected_D / np.linalg.norm(expected_D), rtol=1e-6)


def test_text_alone_stays_where_it_is(tmp_path: Path) -> None:
    """By name whatever its case, and by the mean of two aliases."""
    features_KD, missing, _ = class_features(
        CLASSES[:2], table(tmp_path), {"bird": ["robin", "jay"]}, TRAIN_ND, LABELS_N
    )

    assert missing == []
    assert features_KD[0].argmax() == 0
    assert features_KD[1, 1] == pytest.approx(features_KD[1, 2])


def test_without_any_text_a_class_is_the_mean_of_its_images(tmp_path: Path) -> None:
    """There is no text to move."""
    classes = [default_spec("widget"), default_spec("gizmo"), default_spec("gadget")]

    features_KD, missing, _ = class_features(classes, table(tmp_path), {}, TRAIN_ND, LABELS_N)

    assert missing == ["widget", "gizmo", "gadget"]
    expected_D = np.array([0, np.sqrt(0.5), 1 + np.sqrt(0.5)])
    np.testing.assert_allclose(features_KD[2], expected_D / np.linalg.norm(expected_D), rtol=1e-6)
    np.testing.assert_allclose(features_KD[:2], np.eye(2, 3), atol=1e-6)


def test_a_class_without_text_does_not_draw_all_images_to_it(tmp_path: Path) -> None:
    """Where images lie far from text, as in every such encoder, the text moves to the images."""
    rng = np.random.default_rng(0)
    own_KD = 0.4 * np.eye(4, 8)
    images_D, text_D = 3 * np.eye(8)[6], 3 * np.eye(8)[7]
    labels_N = np.repeat(np.arange(4), 20)
    train_ND = (images_D + own_KD[labels_N] + 0.05 * rng.standard_normal((80, 8))).astype("f4")
    path = tmp_path / "apart.npz"
    np.savez(path, class_names=np.array(["a", "b", "c"]), features=text_D + own_KD[:3])
    classes = [default_spec(name) for name in "abcd"]

    features_KD, missing, _ = class_features(classes, TextTable.load(path), {}, train_ND, labels_N)

    assert missing == ["d"]
    assert ((train_ND @ features_KD.T).argmax(axis=1) == labels_N).mean() > 0.95


def test_other_names_move_with_the_classes(tmp_path: Path) -> None:
    """A name that means what a class means ends where the class does, moved or not."""
    aliases = {"bird": ["robin", "jay"]}
    for classes in (CLASSES, CLASSES[:2]):
        seen = class_features(classes, table(tmp_path), aliases, TRAIN_ND, LABELS_N)
        found, notes = negative_features(["golden-retriever"], table(tmp_path))

        moved_MD = seen.moved(np.stack(list(found.values())))

        assert bool(seen.missing) == bool(seen.gap_D.any())
        np.testing.assert_allclose(moved_MD, seen.features_KD[:1], rtol=1e-6)
        assert notes == []


def test_negative_names_that_the_file_lacks_are_named(tmp_path: Path) -> None:
    """Those that it has do; without one of them there is nothing to go on with."""
    found, notes = negative_features(["jay", "dodo", "tench", "moa"], table(tmp_path))

    assert list(found) == ["jay", "tench"]
    assert notes == ["2 of 4 negative names have no text feature, and are left out: dodo, moa."]
    with pytest.raises(ConfigError, match="has none of the negative names: dodo, moa"):
        negative_features(["dodo", "moa"], table(tmp_path))


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ({"cat": ["robin"]}, "--aliases names cat, which the data does not have"),
        ({"bird": ["robin", "dodo"]}, "`bird` points at dodo: not in the features"),
    ],
)
def test_aliases_that_point_nowhere(
    tmp_path: Path, aliases: dict[str, list[str]], message: str
) -> None:
    """Both ends of an alias must exist."""
    with pytest.raises(ConfigError, match=message):
        class_features(CLASSES, table(tmp_path), aliases, TRAIN_ND, LABELS_N)


def test_features_of_another_length(tmp_path: Path) -> None:
    """A table of another encoder is refused."""
    with pytest.raises(ConfigError, match="D = 3, the encoder gives 2"):
        class_features(CLASSES, table(tmp_path), {}, TRAIN_ND[:, :2], LABELS_N)


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    """A missing array, noise, and aliases that are no names."""
    np.savez(tmp_path / "a.npz", features=np.eye(2))
    with pytest.raises(ConfigError, match=r"text features are an \.npz with `class_names`"):
        TextTable.load(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"noise")
    with pytest.raises(ConfigError, match=r"text features are an \.npz"):
        TextTable.load(tmp_path / "b.npz")
    np.save(tmp_path / "array.npy", np.eye(2))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "nothing.npz").write_bytes(b"")
    np.savez(tmp_path / "words.npz", class_names=np.array(["a"]), features=np.array([["x", "y"]]))
    for name in ("array.npy", "cut.npz", "nothing.npz", "words.npz"):
        with pytest.raises(ConfigError, match=rf"{name}: text features are an \.npz"):
            TextTable.load(tmp_path / name)
    np.savez(tmp_path / "e.npz", class_names=np.array([], dtype=str), features=np.empty((0, 3)))
    with pytest.raises(ConfigError, match=r"not empty; they are \(0,\) and \(0, 3\)"):
        TextTable.load(tmp_path / "e.npz")
    (tmp_path / "c.toml").write_text("bird = 3")
    with pytest.raises(ConfigError, match="`bird` must be a name or a list of names, got 3"):
        load_aliases(tmp_path / "c.toml")


def test_aliases_are_names_or_lists(tmp_path: Path) -> None:
    """Both spellings are read."""
    path = tmp_path / "aliases.toml"
    path.write_text('bird = "robin"\nfish = ["tench", "goldfish"]')

    assert load_aliases(path) == {"bird": ["robin"], "fish": ["tench", "goldfish"]}


def test_class_means_are_mixed_in_at_unit_length() -> None:
    """Half way between both; the class without an image keeps its text."""
    text_KD = np.array([[2, 0, 0], [0, 3, 0]], dtype=np.float32)
    x_ND = np.array([[0, 0, 5], [0, 0, 0.1]], dtype=np.float32)

    mixed_KD = with_means(text_KD, x_ND, np.array([0, 0]), 0.5)

    np.testing.assert_allclose(mixed_KD, np.array([[0.5, 0, 0.5], [0, 1, 0]]), atol=1e-7)
    np.testing.assert_array_equal(text_KD, [[2, 0, 0], [0, 3, 0]])


def test_a_class_without_text_and_images_is_a_zero_row(tmp_path: Path) -> None:
    """And tells nothing of how far text is from images."""
    every = class_features(CLASSES, table(tmp_path), {}, TRAIN_ND, LABELS_N)
    lacking = int(np.flatnonzero([c.name in every.missing for c in CLASSES])[0])
    rest_N = lacking != LABELS_N

    found = class_features(CLASSES, table(tmp_path), {}, TRAIN_ND[rest_N], LABELS_N[rest_N])

    assert not found.features_KD[lacking].any()
    np.testing.assert_array_equal(found.gap_D, every.gap_D)
    assert np.isfinite(found.features_KD).all()
