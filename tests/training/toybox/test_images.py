"""The image source: what exists, that it is reproducible, and what gives an object away."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.errors import ConfigError
from training.toybox.images import EXTRA, KNOWN, STYLES, TEXTURE, UNKNOWN, render, write_images


def test_there_are_enough_objects_and_none_twice() -> None:
    """Twelve known, six unknown and a dozen extra objects share no name."""
    assert (len(KNOWN), len(UNKNOWN)) == (12, 6)
    assert len(EXTRA) >= 12
    assert len({*KNOWN, *UNKNOWN, *EXTRA, TEXTURE}) == len(KNOWN) + len(UNKNOWN) + len(EXTRA) + 1


@pytest.mark.parametrize("style", STYLES)
def test_same_arguments_same_pixels(style: str) -> None:
    """An image is fixed by name, style, seed and index, and changes with seed and index."""
    first = render("mug", style, seed=3, index=5)
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, render("mug", style, seed=3, index=5))
    for other in (render("mug", style, seed=4, index=5), render("mug", style, seed=3, index=6)):
        assert (first != other).mean() > 0.5


def test_every_object_renders_in_every_style_and_no_two_are_alike() -> None:
    """All names and styles give pictures with an object on them, all different."""
    names = (*KNOWN, *UNKNOWN, *EXTRA, TEXTURE)
    pictures = [render(n, s, seed=1, index=0, size=64) for n in names for s in STYLES]
    assert min(float(picture.std()) for picture in pictures) > 4
    small = np.array([picture[::8, ::8].ravel() for picture in pictures], dtype=np.float32)
    apart = np.abs(small[:, None] - small[None]).mean(axis=2)
    assert apart[~np.eye(len(small), dtype=bool)].min() > 1


def test_other_sizes_show_the_same_composition() -> None:
    """A cartoon at twice the size, reduced, is nearly the same picture."""
    large = Image.fromarray(render("car", "cartoon", seed=2, index=1, size=256)).reduce(2)
    small = render("car", "cartoon", seed=2, index=1, size=128)
    assert np.abs(np.asarray(large, dtype=float) - small).mean() < 4


def test_names_and_styles_that_do_not_exist_are_refused() -> None:
    """The message names what was given and what there is."""
    with pytest.raises(ConfigError, match="Unknown Toybox object 'sofa'; choose from mug"):
        render("sofa", "photo", seed=0, index=0)
    with pytest.raises(ConfigError, match="Unknown Toybox style 'fresco'; choose from photo"):
        render("mug", "fresco", seed=0, index=0)


def thumbnails(
    names: tuple[str, ...], style: str, seed: int, count: int
) -> npt.NDArray[np.float32]:
    """Return 8x8 colour thumbnails, one row per image."""
    return np.array(
        [
            np.asarray(Image.fromarray(render(name, style, seed=seed, index=i, size=64)).reduce(8))
            for name in names
            for i in range(count)
        ],
        dtype=np.float32,
    ).reshape(len(names) * count, -1)


def distances(
    images_ND: npt.NDArray[np.float32], bank_MD: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return each thumbnail's distance to its nearest in the bank, (N,)."""
    nearest: npt.NDArray[np.float32] = np.linalg.norm(
        images_ND[:, None] - bank_MD[None], axis=2
    ).min(axis=1)
    return nearest


@pytest.mark.slow
def test_colour_and_texture_do_not_give_unknown_objects_away() -> None:
    """A nearest neighbour on thumbnails tells unknown from known with an AUROC of 0.25 to 0.75."""
    known, unknown = [], []
    for style in STYLES:
        bank_MD = thumbnails(KNOWN, style, 1, 16)
        known.append(distances(thumbnails(KNOWN, style, 2, 8), bank_MD))
        unknown.append(distances(thumbnails(UNKNOWN, style, 2, 16), bank_MD))
    higher = np.concatenate(unknown)[:, None] > np.concatenate(known)[None]
    assert 0.25 <= higher.mean() <= 0.75
    for one, other in zip(unknown, known, strict=True):
        assert 0.25 <= (one[:, None] > other[None]).mean() <= 0.75


def test_files_are_written_as_style_and_object_folders(tmp_path: Path) -> None:
    """Every object gets a folder per style, textures one of their own, all with real JPEGs."""
    assert write_images(tmp_path, seed=1, per_class=1) == 4 * 18 + 1
    folders = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg")}
    expected = {f"{style}/{name}" for style in STYLES for name in (*KNOWN, *UNKNOWN)}
    assert folders == expected | {"texture/texture"}
    with Image.open(tmp_path / "sketch" / "guitar" / "0000.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (128, 128))


def test_a_choice_of_styles_and_objects_is_written_alone(tmp_path: Path) -> None:
    """With names and styles given, nothing else is drawn, and files repeat bit for bit."""
    for folder in ("one", "two"):
        wanted = {"styles": ("photo",), "names": ("key", TEXTURE)}
        assert write_images(tmp_path / folder, seed=1, per_class=2, **wanted) == 4
    one, two = (sorted((tmp_path / folder).rglob("*.jpg")) for folder in ("one", "two"))
    assert [path.parent.name for path in one] == ["key", "key", TEXTURE, TEXTURE]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
