"""The `croft toybox` command."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.errors import ConfigError
from training.commands.toybox import add_arguments, run


def croft_toybox(arguments: Sequence[str]) -> int:
    """Run the command as the command line would."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def test_images_are_written_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`images` writes what was chosen and says how many."""
    flags = ["--seed", "5", "--per-class", "2", "--styles", "photo", "--objects", "mug", "cactus"]
    assert croft_toybox(["images", str(tmp_path), *flags]) == 0
    assert "4 images" in capsys.readouterr().out
    assert len(list(tmp_path.glob("photo/cactus/*.jpg"))) == 2


def test_a_sheet_is_written(tmp_path: Path) -> None:
    """`sheet` writes a PNG of all objects and styles."""
    assert croft_toybox(["sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_an_object_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A wrong name is an error of the user, with the names to choose from."""
    with pytest.raises(ConfigError, match="Unknown Toybox object 'sofa'"):
        croft_toybox(["images", str(tmp_path), "--objects", "sofa"])


def test_pretraining_takes_another_recipe(tmp_path: Path) -> None:
    """`pretrain --recipe` reads the given file, and refuses what it does not know."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text("epoch = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="Unknown or missing setting"):
        croft_toybox(["pretrain", "--recipe", str(recipe), "--out", str(tmp_path)])
