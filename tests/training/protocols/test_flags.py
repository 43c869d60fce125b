"""croft compare --protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from models.errors import ConfigError
from tests.training.protocols.roots import domain_root
from training.commands import compare
from training.protocols.flags import protocol_trials


def parsed(*flags: str) -> argparse.Namespace:
    """Read flags as the command does."""
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    return parser.parse_args(list(flags))


def test_flags_ask_for_the_trials(tmp_path: Path) -> None:
    """Number of seeds and shots, sets left out, and the published splits."""
    root = str(domain_root(tmp_path))
    args = parsed(
        *(root, "--protocol", "setup2-pacs", "--seeds", "2", "--shots", "2"),
        *("--without", "food-101,dtd"),
    )
    trials = list(protocol_trials(args))
    assert [trial.seed for trial in trials] == [1] * 4 + [2] * 4
    assert len(trials[0].train) == 7 * 3 * 2
    assert list(trials[0].unknown) == ["caltech-101"]
    args = parsed(root, "--protocol", "setup2-vlcs", "--seeds", "1", "--as-published")
    assert "CALTECH, at most 500 a class" in next(protocol_trials(args)).known


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--as-published"], "--as-published belongs to --protocol; give one"),
        (["--without", "dtd"], "--without belongs to --protocol; give one"),
        (["--protocol", "setup1", "--domains", "photo"], "setup1 decides what --domains would"),
        (["--protocol", "setup1", "--unknown", "a=b"], "setup1 decides what --unknown would"),
        (["--protocol", "setup1", "--classes", "c.toml"], "setup1 decides what --classes would"),
        (["--protocol", "setup1", "--leave-domain-out"], "what --leave-domain-out would"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(flags: list[str], message: str) -> None:
    """Before anything is looked for."""
    with pytest.raises(ConfigError, match=message):
        compare.run(parsed("nowhere", *flags))


@pytest.mark.slow
def test_a_protocol_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From folders to the table that is printed and written."""
    root = domain_root(tmp_path / "data", images=6)
    args = parsed(
        *(str(root), "--protocol", "setup2-pacs", "--without", "food-101,caltech-101"),
        *("--seeds", "1", "--shots", "1", "--backbone", "toybox", "--methods", "zero-shot"),
        *("--scores", "energy", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")),
    )
    assert compare.run(args) == 0
    assert "art_painting*" in capsys.readouterr().out
    assert "dtd against sketch (shifted)" in (tmp_path / "out" / "table.md").read_text()
