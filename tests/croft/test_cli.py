"""croft.cli."""

import importlib.util
import sys

import pytest

from croft.cli import COMMANDS, main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without loading any of their modules."""
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])

    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_every_command_has_its_module() -> None:
    """No row of the table points at nothing."""
    for name, entry in COMMANDS.items():
        assert importlib.util.find_spec(entry.module), name


def test_no_command_prints_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """A bare `croft` is a question, not a success."""
    assert main([]) == 2
    assert "croft" in capsys.readouterr().out


def test_an_error_of_the_user_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, status 2."""
    assert main(["evaluate", "/nowhere/bundle", "/nowhere/data"]) == 2
    assert "croft: " in capsys.readouterr().err


def test_a_missing_extra_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in an environment that has only the other half installed."""
    monkeypatch.setitem(sys.modules, "training.commands.evaluate", None)
    monkeypatch.delitem(sys.modules, "training.commands.evaluate")
    monkeypatch.setitem(sys.modules, "scipy", None)
    for module in [name for name in sys.modules if name.startswith("training")]:
        monkeypatch.delitem(sys.modules, module)

    assert main(["evaluate", "b", "d"]) == 2
    assert "pip install '.[training,cpu]'" in capsys.readouterr().err
