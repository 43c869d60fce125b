"""API keys: how one is made, what is kept of it, and how one that is given is recognised.

Only SHA-256 hashes are kept. A key is 256 random bits, which nobody can guess, so it needs
neither salt nor a slow hash: those protect passwords, and would be paid for by every request.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from models.errors import ConfigError

Scope = Literal["classify", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

PREFIX: Final = "croft_"
"""What every key begins with, so that scanners for leaked secrets can find one."""
_KEY_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_LINE: Final = "a line is `name scope sha256hex`, as `croft keys new` writes it"


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of one key: not the key."""

    name: str
    """Whose it is, as logs say it."""
    scope: Scope
    digest: bytes
    """SHA-256 of the key."""

    def allows(self, scope: Scope) -> bool:
        """Whether it is good for a scope; admin includes classify."""
        return self.scope in ("admin", scope)

    @property
    def line(self) -> str:
        """The key's line of a keys file."""
        return f"{self.name} {self.scope} {self.digest.hex()}"


class KeyRing:
    """The keys that a process knows."""

    def __init__(self, keys: Sequence[Key]) -> None:
        """Hold these, whose names and hashes are distinct."""
        self._keys = tuple(keys)

    def find(self, given: bytes) -> Key | None:
        """Return the key that was given, None for a stranger, in the same time for each."""
        digest = _hash(given)
        found = None
        for key in self._keys:  # all of them: an early end would tell where in the file one stands
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def new_key(name: str, scope: Scope) -> tuple[str, Key]:
    """Return a fresh key, to be shown once, and what is kept of it.

    Raises:
        ConfigError: a name that a keys file cannot hold.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"A key's name is 1 to 64 of A-Z a-z 0-9 . _ -, got {name[:80]!r}.")
    text = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    return text, Key(name, scope, _hash(text.encode()))


def read_keys(path: Path) -> list[Key]:
    """Read a keys file: one key a line, ``name scope sha256hex``; ``#`` begins a comment.

    Raises:
        ConfigError: naming the line and what is wrong with it, but not what stands there: who
            mixed up the fields may have put the key itself into the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"Cannot read the keys file {path}: {reason}.") from None
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if fields := line.partition("#")[0].split():
            try:
                keys.append(_parse(fields, keys))
            except ValueError as error:
                raise ConfigError(f"{path}, line {number}: {error}; {_LINE}.") from None
    return keys


def _parse(fields: Sequence[str], before: Sequence[Key]) -> Key:
    if len(fields) != 3:
        raise ValueError(f"{len(fields)} fields in place of 3")
    name, scope, digest = fields
    if not _NAME.fullmatch(name):
        raise ValueError("the name is not 1 to 64 of A-Z a-z 0-9 . _ -")
    known = next((s for s in SCOPES if s == scope), None)
    if known is None:
        raise ValueError(f"the scope is neither {' nor '.join(SCOPES)}")
    if not _HASH.fullmatch(digest):
        raise ValueError("the hash is not 64 hexadecimal digits")
    key = Key(name, known, bytes.fromhex(digest))
    if any(key.name == other.name or key.digest == other.digest for other in before):
        raise ValueError("its name or its hash stands on a line above as well")
    return key


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
