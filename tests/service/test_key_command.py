"""``croft keys new`` shows a key once and keeps its hash."""

import hashlib
import stat
from pathlib import Path

import pytest

from croft.cli import main
from service.keys import read_keys


def test_a_file_gets_the_hash_and_the_terminal_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is the key alone, so that it can be piped; the file is its owner's alone."""
    path = tmp_path / "keys.txt"
    assert main(["keys", "new", "phone", "--file", str(path)]) == 0
    assert main(["keys", "new", "boss", "--scope", "admin", "--file", str(path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    keys = read_keys(path)
    assert [(key.name, key.scope) for key in keys] == [("phone", "classify"), ("boss", "admin")]
    assert [key.digest for key in keys] == [
        hashlib.sha256(text.encode()).digest() for text in (first, second)
    ]
    assert first.removeprefix("croft_") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_file_the_line_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes into a keys file follows the key; nothing is written."""
    assert main(["keys", "new", "phone"]) == 0
    printed = capsys.readouterr()
    key, line = printed.out.splitlines()
    (tmp_path / "keys.txt").write_text(line)
    (kept,) = read_keys(tmp_path / "keys.txt")
    assert kept.digest == hashlib.sha256(key.encode()).digest()
    assert key not in printed.err


def test_a_last_line_without_an_end_stays_a_line(tmp_path: Path) -> None:
    """An editor may have left none."""
    path = tmp_path / "keys.txt"
    path.write_text("first classify " + "0" * 64)
    assert main(["keys", "new", "second", "--file", str(path)]) == 0
    assert [key.name for key in read_keys(path)] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phone classify " + "0" * 64, "has a key 'phone' already"),
        ("a shopping list", "name scope sha256hex"),
    ],
)
def test_a_file_that_does_not_fit_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    """A taken name, or a file of something else: status 2, no key, nothing changed."""
    path = tmp_path / "keys.txt"
    path.write_text(text)
    assert main(["keys", "new", "phone", "--file", str(path)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert path.read_text() == text


def test_a_folder_that_is_not_there_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No key is shown that nobody has kept."""
    assert main(["keys", "new", "phone", "--file", str(tmp_path / "no" / "keys.txt")]) == 2
    printed = capsys.readouterr()
    assert "Cannot write" in printed.err
    assert printed.out == ""
