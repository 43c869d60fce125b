"""``croft keys new``: makes an API key, shows it once, and keeps its hash."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from models.errors import ConfigError
from service.keys import SCOPES, Key, new_key, read_keys

_PRIVATE: Final = 0o600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a key and print it once")
    new.add_argument("name", metavar="NAME", help="whose it is, as the logs will say it")
    new.add_argument(
        "--scope", choices=SCOPES, default=SCOPES[0], help="what it is good for (%(default)s)"
    )
    new.add_argument(
        "--file", type=Path, help="keys file to append its line to (none: the line is printed)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the key on standard output, and what to do with it on standard error."""
    text, key = new_key(args.name, args.scope)
    if args.file is not None:
        _append(key, args.file)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    if args.file is None:
        sys.stdout.write(f"{key.line}\n")
        advice = "The second line, without the key, belongs into the keys file"
    else:
        advice = f"{args.file} has its hash"
    sys.stderr.write(
        f"This is the only time that the key is shown. {advice}. "
        "A service reads CROFT_KEYS_FILE when it starts.\n"
    )
    return 0


def _append(key: Key, path: Path) -> None:
    """Add a key's line to a keys file, which is made for its owner alone.

    Raises:
        ConfigError: the file is no keys file, has the name already, or cannot be written.
    """
    if path.exists() and any(other.name == key.name for other in read_keys(path)):
        raise ConfigError(f"{path} has a key {key.name!r} already. Choose another name.")
    try:
        with open(path, "a+b", opener=lambda name, flags: os.open(name, flags, _PRIVATE)) as file:
            file.seek(0)
            gap = b"" if file.read()[-1:] in (b"", b"\n") else b"\n"
            file.write(gap + key.line.encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"Cannot write {path}: {error.strerror}.") from error
