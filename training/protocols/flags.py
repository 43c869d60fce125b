"""The flags that ask for a protocol, and the trials they ask for."""

import argparse
from collections.abc import Iterator

from models.errors import ConfigError
from training.protocols.published import PROTOCOLS
from training.trial import Trial


def add_protocol_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them, in a group of their own."""
    group = parser.add_argument_group("protocol")
    group.add_argument(
        "--protocol", choices=list(PROTOCOLS),
        help="of the CRoFT paper: DATA is the folder of its data sets; see docs/protocols.md",
    )  # fmt: skip
    group.add_argument(
        "--as-published", action="store_true", help="repeat the published splits' mistakes"
    )
    group.add_argument("--without", metavar="A,B", help="leave out sets that are not at hand")


def check_protocol_arguments(args: argparse.Namespace) -> None:
    """Refuse flags that would do nothing.

    Raises:
        ConfigError: flags of a protocol without one, or of other data with one.
    """
    own = {"--as-published": args.as_published, "--without": args.without}
    foreign = {
        "--unknown": args.unknown,
        "--classes": args.classes,
        "--domains": args.domains,
        "--leave-domain-out": args.leave_domain_out,
    }
    if args.protocol is None and (given := [flag for flag, value in own.items() if value]):
        raise ConfigError(f"{', '.join(given)} belongs to --protocol; give one.")
    if args.protocol is not None and (given := [flag for flag, v in foreign.items() if v]):
        raise ConfigError(f"--protocol {args.protocol} decides what {', '.join(given)} would.")


def protocol_trials(args: argparse.Namespace) -> Iterator[Trial]:
    """Return the trials of ``--protocol``: seeds from 1 on.

    Raises:
        ConfigError: what the protocol refuses.
        DataError: folders or images are missing or wrong.
    """
    return PROTOCOLS[args.protocol].trials(
        args.data,
        seeds=range(1, args.seeds + 1),
        shots=args.shots,
        as_published=args.as_published,
        without=args.without.split(",") if args.without else (),
    )
