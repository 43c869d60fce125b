"""Of a key only its hash is kept, and a stranger learns nothing by trying."""

import hashlib
import hmac
from pathlib import Path

import pytest

from models.errors import ConfigError
from service.keys import SCOPES, Key, KeyRing, new_key, read_keys


def _file(folder: Path, text: str) -> Path:
    path = folder / "keys.txt"
    path.write_text(text)
    return path


def test_a_key_is_long_and_new_each_time() -> None:
    """256 random bits after a prefix that scanners know, in letters that any header takes."""
    keys = {new_key("a", "classify")[0] for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("croft_") and len(key) == 49 and key.isascii() for key in keys)


def test_only_the_hash_is_kept(tmp_path: Path) -> None:
    """The line has the SHA-256 and not the key, and the file brings the key back as it was."""
    text, key = new_key("phone", "classify")
    assert key.line == f"phone classify {hashlib.sha256(text.encode()).hexdigest()}"
    assert text.removeprefix("croft_") not in f"{key!r}"
    assert read_keys(_file(tmp_path, f"# keys\n\n{key.line}  # Anna's\n")) == [key]


def test_a_known_key_is_found_and_no_other() -> None:
    """Each of several is told from the others; a changed, cut or empty one is a stranger."""
    made = [new_key(name, "classify") for name in "abc"]
    ring = KeyRing([key for _, key in made])
    for text, key in made:
        assert ring.find(text.encode()) == key
        assert ring.find(text[:-1].encode()) is None
        assert ring.find(text.upper().encode()) is None
    assert ring.find(b"") is None


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is found, first, last or never, all hashes went through compare_digest."""
    made = [new_key(name, "classify") for name in "abcd"]
    ring = KeyRing([key for _, key in made])
    compared: list[bytes] = []
    real = hmac.compare_digest

    def spy(kept: bytes, given: bytes) -> bool:
        compared.append(kept)
        return real(kept, given)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    for given in (made[0][0], made[3][0], "nobody"):
        compared.clear()
        ring.find(given.encode())
        assert compared == [key.digest for _, key in made]


@pytest.mark.parametrize(
    ("scope", "asked", "allowed"),
    [
        ("classify", "classify", True),
        ("classify", "admin", False),
        ("admin", "classify", True),
        ("admin", "admin", True),
    ],
)
def test_admin_includes_classify(scope: str, asked: str, allowed: bool) -> None:
    """And not the other way round."""
    kinds = {name: name for name in SCOPES}
    assert Key("k", kinds[scope], b"").allows(kinds[asked]) is allowed  # type: ignore[index]


HASH = "0" * 64
OTHER = "1" * 64


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("SECRET classify", "line 2: 2 fields in place of 3"),
        ("SECRET! classify " + HASH, "line 2: the name is not 1 to 64"),
        ("phone SECRET " + HASH, "line 2: the scope is neither classify nor admin"),
        ("phone classify SECRET", "line 2: the hash is not 64 hexadecimal digits"),
        ("first classify " + OTHER, "line 2: its name or its hash stands on a line above"),
        ("second admin " + HASH, "line 2: its name or its hash stands on a line above"),
    ],
)
def test_a_bad_line_is_named_and_not_shown(tmp_path: Path, line: str, message: str) -> None:
    """The message says which line, what is wrong and what a line is; never what stands there."""
    path = _file(tmp_path, f"first classify {HASH}\n{line}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert "name scope sha256hex" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path, content: bytes | None) -> None:
    """Absent or binary: the message has its path."""
    path = tmp_path / "keys.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"Cannot read the keys file .*keys\.txt"):
        read_keys(path)


@pytest.mark.parametrize("name", ["", "a b", "#x", "x" * 65, "ä"])
def test_a_name_that_a_file_cannot_hold_is_refused(name: str) -> None:
    """Before a key is made that could never be read again."""
    with pytest.raises(ConfigError, match="A key's name is 1 to 64"):
        new_key(name, "classify")
