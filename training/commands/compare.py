"""``croft compare DATA``: every method and every score on your images, in one table and picture."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.errors import ConfigError
from training.commands.encoder_flags import add_encoder_arguments, encoder_request
from training.comparison.judge import Row
from training.comparison.methods import chosen_methods, chosen_scores
from training.comparison.picture import write_picture
from training.comparison.run import compare
from training.comparison.table import lines_of, markdown
from training.comparison.trials import held_out_trials, split_trials
from training.data import load_dataset
from training.encoders import check_encoder
from training.progress import bar, say, say_all
from training.protocols.flags import (
    add_protocol_arguments,
    check_protocol_arguments,
    protocol_trials,
)
from training.split import SplitConfig
from training.trial import Trial
from training.unknown import load_sets, named_folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "data", type=Path, metavar="DATA",
        help="class folders, domain/class folders, a .csv or .parquet manifest; with --protocol "
        "the folder of its data sets",
    )  # fmt: skip
    parser.add_argument(
        "--unknown", action="append", default=[], metavar="NAME=DIR",
        help="images of anything else, for AUROC and FPR95; may be given several times",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="write rows, table and picture")
    parser.add_argument("--methods", metavar="A,B", help="only these")
    parser.add_argument("--scores", metavar="A,B", help="only these")
    parser.add_argument("--classes", type=Path, help="classes.toml: order, display names, prompts")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "croft")
    _add_trial_arguments(parser.add_argument_group("trials"))
    add_protocol_arguments(parser)
    add_encoder_arguments(parser)


def _add_trial_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seeds", type=int, default=3, metavar="N", help="draws (%(default)s)")
    group.add_argument(
        "--shots", type=int, default=SplitConfig().shots,
        help="training images of each class and domain (%(default)s)",
    )  # fmt: skip
    which = group.add_mutually_exclusive_group()
    which.add_argument("--domains", help="train on these, with commas; all others are shifted")
    which.add_argument(
        "--leave-domain-out", action="store_true",
        help="train on all domains but one, each in turn, and judge by the one left out",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Compare, print the tables, and write what is asked for."""
    methods, scores = chosen_methods(args.methods), chosen_scores(args.scores)
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, got {args.seeds}.")
    check_protocol_arguments(args)
    request = encoder_request(args)
    check_encoder(request)
    trials = list(protocol_trials(args) if args.protocol else _trials(args))
    rows = compare(trials, request, methods=methods, scores=scores, cache=args.cache)
    say("", *lines_of(rows))
    if args.out is not None:
        say("", *_write(args.out, rows))
    return 0


def _trials(args: argparse.Namespace) -> Iterator[Trial]:
    """Yield a trial for each seed, and each held-out domain."""
    folders = named_folders(args.unknown)  # before every image is read
    with bar("reading images", "image") as progress:
        dataset, report = load_dataset(args.data, classes_file=args.classes, on_progress=progress)
    say_all(report.lines())
    unknown, notes = load_sets(folders, [spec.name for spec in dataset.classes])
    say_all(notes)
    domains = tuple(args.domains.split(",")) if args.domains else None
    # Nothing is calibrated: no image has to be kept for that before the test has its share.
    config = SplitConfig(shots=args.shots, domains=domains, calibrate_first=1)
    seeds = range(1, args.seeds + 1)
    if args.leave_domain_out:
        return held_out_trials(dataset, config=config, seeds=seeds, unknown=unknown)
    name = args.data.resolve().stem
    return split_trials(dataset, name=name, config=config, seeds=seeds, unknown=unknown)


def _write(out: Path, rows: Sequence[Row]) -> list[str]:
    out.mkdir(parents=True, exist_ok=True)
    (out / "rows.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    (out / "table.md").write_text(markdown(rows), encoding="utf-8")
    write_picture(rows, out / "comparison.png")
    return [
        f"{what}: {out / name}"
        for what, name in (
            ("rows", "rows.json"),
            ("table", "table.md"),
            ("picture", "comparison.png"),
        )
    ]
