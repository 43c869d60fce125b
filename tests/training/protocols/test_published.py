"""Each protocol has a recipe with the settings of the published code."""

from __future__ import annotations

import pytest

from training.protocols.published import PROTOCOLS
from training.recipe import load_recipe
from training.tune import TuneConfig, official_defaults

SETTINGS = {
    "setup1": official_defaults(lambda_1=1, lambda_2=5, edr="setup1"),
    "setup2-pacs": official_defaults(),
    "setup2-vlcs": official_defaults(vlcs=True, gen_steps=5, lambda_2=1000),
}


def test_names() -> None:
    """What a command may ask for."""
    assert {name: protocol.name for name, protocol in PROTOCOLS.items()} == {
        name: name for name in SETTINGS
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_recipes_hold_the_published_settings(name: str) -> None:
    """Its objective, its scale of the penalty, and its crops."""
    config = load_recipe(PROTOCOLS[name].recipe)
    tune: TuneConfig = config.tune
    assert tune == SETTINGS[name]
    assert (config.views.scale, config.views.grey, config.views.jitter) == ((0.08, 1.0), 0, 0)
