"""croft train."""

import argparse
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.errors import ConfigError
from tests.bundles import KNOWN
from tests.training.test_pipeline import foreign_encoder, write_colours
from training.commands.train import add_arguments, config_of, run
from training.tune import TuneConfig, official_defaults


def train(tmp_path: Path, *flags: str) -> int:
    """Run the command on class folders of plain colours, with a foreign encoder."""
    files = foreign_encoder(tmp_path)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = {"--encoder": files.encoder, "--encoder-spec": files.spec, "--out": tmp_path / "runs"}
    given |= {"--text-features": files.text_features, "--cache": tmp_path / "cache"}
    paths = [str(part) for pair in given.items() for part in pair]
    return run(parser.parse_args([str(tmp_path / "my colours"), *paths, *flags]))


def test_the_figures_are_printed_and_the_name_is_the_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also whether refusals of known images are what was promised."""
    write_colours(tmp_path / "my colours", KNOWN, images=50)

    assert train(tmp_path, "--shots", "4", "--seed", "3") == 0

    bundle = Bundle.load(tmp_path / "runs" / "my-colours" / "1")
    split = bundle.manifest.recipe["split"]
    assert isinstance(split, dict)
    assert (split["shots"], bundle.manifest.recipe["seed"]) == (4, 3)
    printed = capsys.readouterr().out
    assert "known images refused; inside the band of" in printed
    assert str(bundle.path / "report" / "index.html") in printed


@pytest.mark.parametrize("flag", ["recipe", "flag"])
def test_a_score_that_needs_names_is_refused_without_them(tmp_path: Path, flag: str) -> None:
    """There is no data, and still the message says what to give."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('score = "neglabel"')
    given = ["--recipe", str(recipe)] if flag == "recipe" else ["--score", "neglabel"]

    with pytest.raises(ConfigError, match="Give them with --negatives FILE, one a line"):
        train(tmp_path, *given)
    with pytest.raises(ConfigError, match="names that are not there"):
        train(tmp_path, *given, "--negatives", str(tmp_path / "names that are not there"))


def test_the_objective_without_a_recipe_brings_its_settings(tmp_path: Path) -> None:
    """The authors'; with a recipe, all but the objective stays as it says."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[tune]\nepochs = 7\nlambda_2 = 3.0")

    assert tuning_of("--objective", "official") == official_defaults()
    assert tuning_of("--objective", "croft") == tuning_of() == TuneConfig()
    assert tuning_of("--recipe", str(recipe), "--objective", "official") == TuneConfig(
        objective="official", epochs=7, lambda_2=3.0
    )
    with pytest.raises(ConfigError, match="'official', which is defined for adapters only"):
        tuning_of("--objective", "official", "--tuning", "prompt")


@pytest.mark.parametrize("flags", [("--score", "knn"), ("--objective", "official")])
def test_what_selection_chooses_cannot_be_given_too(tmp_path: Path, flags: tuple[str, str]) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError, match=f"`{flags[0][2:]}` is '{flags[1]}'"):
        train(tmp_path, "--select", "auto", *flags)


def tuning_of(*flags: str) -> TuneConfig:
    """Return how a run with these flags would tune."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return config_of(parser.parse_args(["images", *flags])).tune


def test_prompt_tuning_of_a_foreign_encoder_is_refused_before_the_data_is_read(
    tmp_path: Path,
) -> None:
    """There is no data, and still the message is about the tuning."""
    with pytest.raises(ConfigError, match="needs a text encoder, which foreign"):
        train(tmp_path, "--tuning", "prompt")
