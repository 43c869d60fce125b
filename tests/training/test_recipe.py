"""training.recipe."""

import json
from pathlib import Path

import pytest

from models.errors import ConfigError
from training.recipe import TrainConfig, as_tables, load_recipe

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def recipe(tmp_path: Path, text: str) -> Path:
    """Write a recipe."""
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_every_part_is_set_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    """Tables go to their parts, lists become tuples, other tables are left alone."""
    config = load_recipe(
        recipe(
            tmp_path,
            'seed = 3\n[split]\nshots = 4\ndomains = ["a", "b"]\n[views]\nscale = [0.5, 1.0]\n'
            '[tune]\ntuning = "prompt"\n[calibrate]\nalpha = 0.1\n[demo]\nanything = 1\n',
        )
    )

    assert (config.seed, config.split.shots, config.split.domains) == (3, 4, ("a", "b"))
    assert (config.views.scale, config.tune.tuning) == ((0.5, 1.0), "prompt")
    assert (config.calibrate.alpha, config.calibrate.delta) == (0.1, 0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "no setting `sed`; there are split, views"),
        ("[tune]\nepoch = 1", r"\[tune\]: no setting `epoch`; there are tuning"),
        ("[tune]\nepochs = 0", r"\[tune\]: `epochs` must be > 0, got 0"),
        ("tune = 3", "`tune` must be a table, got 3"),
        (
            'score = "magic"',
            "`score` must be one of energy, msp, .*, neglabel, or two .*; got 'magic'",
        ),
        ('[split]\nshots = "many"', r"\[split\]: `shots` has the wrong type: it must be int"),
        ("[tune]\nepochs = 2.5", r"\[tune\]: `epochs` has the wrong type: it must be int, got 2.5"),
        ("[views]\nflip = 1", r"`flip` has the wrong type: it must be bool, got 1"),
        ("[views]\nscale = [0.5]", r"`scale` has the wrong type: it must be tuple\[float, float\]"),
        ('[split]\ndomains = "photo"', r"`domains` has the wrong type: it must be tuple"),
        ("[tune]\ntuning = 3", r"`tuning` has the wrong type"),
        ("seed = -1", "`seed` must be at least 0, got -1"),
        ("golden_images = -1", "`golden_images` must be at least 0, got -1"),
        ("[[[", "not a recipe that can be read"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    """File, table and setting are in the message."""
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe(tmp_path, text))


def test_a_resolved_recipe_is_json() -> None:
    """What a bundle stores survives JSON unchanged."""
    tables = as_tables(TrainConfig())

    assert json.loads(json.dumps(tables)) == tables


def test_the_shipped_recipe_loads() -> None:
    """And it tunes what the demo says."""
    assert load_recipe(RECIPES / "toybox.toml").tune.tuning == "prompt+adapter"


def test_a_whole_number_is_a_fraction_and_an_optional_may_be_given(tmp_path: Path) -> None:
    """``lambda_2 = 0`` switches the term off, whatever TOML calls the type."""
    config = load_recipe(recipe(tmp_path, "[tune]\nlambda_2 = 0\ncontext_length = 4\n"))

    assert (config.tune.lambda_2, config.tune.context_length) == (0, 4)
