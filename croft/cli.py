"""One command: a table from sub-command to the module that does it, loaded only when asked for."""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from models.errors import ConfigError, CroftError


class Command(Protocol):
    """What a module of the table has to offer."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the flags."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it, and return the exit status."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table."""

    module: str
    extra: str
    help: str


COMMANDS: Final = {
    "demo": Entry("croft.demo", "service,training", "the whole loop on toy objects, offline"),
    "train": Entry("training.commands.train", "training", "tune, calibrate and write a bundle"),
    "calibrate": Entry(
        "training.commands.calibrate", "training", "another alpha for a bundle: a new version"
    ),
    "evaluate": Entry("training.commands.evaluate", "training", "judge a bundle on a data set"),
    "compare": Entry(
        "training.commands.compare", "training", "every method and score on your images"
    ),
    "serve": Entry("service.serve", "service", "classify over HTTP and refuse the unknown"),
    "keys": Entry("service.key_command", "service", "make an API key for a service"),
    "healthcheck": Entry("service.healthcheck", "service", "exit 0 if a service is ready"),
    "toybox": Entry("training.commands.toybox", "training", "toy images, and their encoder"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; errors made by the user become one message and status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser, subparsers = _parser()
    try:
        if arguments and arguments[0] in COMMANDS:
            command = _load(arguments[0])
            command.add_arguments(subparsers[arguments[0]])
            return command.run(parser.parse_args(arguments))
        parser.parse_args(arguments)
        parser.print_help()
        return 2
    except CroftError as error:
        print(f"croft: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("croft: stopped", file=sys.stderr)
        return 130


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="croft", description="Image classification that refuses what it was not trained on."
    )
    parser.add_argument(
        "--version", action="version", version=importlib.metadata.version("croft-ood")
    )
    rows = parser.add_subparsers(dest="command", metavar="COMMAND")
    return parser, {
        name: rows.add_parser(name, help=entry.help, description=entry.help)
        for name, entry in COMMANDS.items()
    }


def _load(name: str) -> Command:
    entry = COMMANDS[name]
    try:
        return cast(Command, importlib.import_module(entry.module))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("croft", "models"):
            raise
        raise ConfigError(
            f"`croft {name}` needs the package `{error.name}`, which is not installed. "
            f"Type in the checkout: pip install '.[{entry.extra},cpu]' (on a GPU: gpu, not cpu)."
        ) from error
