"""croft train."""

import argparse
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.errors import ConfigError
from tests.bundles import KNOWN
from tests.training.test_pipeline import foreign_encoder, write_colours
from training.commands.train import add_arguments, run


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


def test_prompt_tuning_of_a_foreign_encoder_is_refused_before_the_data_is_read(
    tmp_path: Path,
) -> None:
    """There is no data, and still the message is about the tuning."""
    with pytest.raises(ConfigError, match="needs a text encoder, which foreign"):
        train(tmp_path, "--tuning", "prompt")
