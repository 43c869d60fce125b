"""training.text_features."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigError
from training.class_names import default_spec
from training.text_features import TextTable, class_features, load_aliases

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
    """By name whatever its case, by the mean of two aliases, and by images where there is none."""
    features_KD, missing = class_features(
        CLASSES, table(tmp_path), {"bird": ["robin", "jay"]}, TRAIN_ND, LABELS_N
    )

    assert missing == ["gadget"]
    np.testing.assert_allclose(np.linalg.norm(features_KD, axis=1), 1, rtol=1e-6)
    assert features_KD[0].argmax() == 0
    assert features_KD[1, 1] == pytest.approx(features_KD[1, 2])
    expected_D = np.array([0, np.sqrt(0.5), 1 + np.sqrt(0.5)])
    np.testing.assert_allclose(features_KD[2], expected_D / np.linalg.norm(expected_D), rtol=1e-6)


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
    (tmp_path / "c.toml").write_text("bird = 3")
    with pytest.raises(ConfigError, match="`bird` must be a name or a list of names, got 3"):
        load_aliases(tmp_path / "c.toml")


def test_aliases_are_names_or_lists(tmp_path: Path) -> None:
    """Both spellings are read."""
    path = tmp_path / "aliases.toml"
    path.write_text('bird = "robin"\nfish = ["tench", "goldfish"]')

    assert load_aliases(path) == {"bird": ["robin"], "fish": ["tench", "goldfish"]}
