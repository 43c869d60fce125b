"""``croft train DATA``: tune, calibrate, and write a bundle with its report."""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from training.calibrate import CalibrateConfig
from training.commands.encoder_flags import add_encoder_arguments, encoder_request
from training.pipeline import TrainRequest, train
from training.recipe import TrainConfig, load_recipe
from training.split import SplitConfig
from training.summary import summarize
from training.table import lines_of
from training.tune import Objective, TuneConfig, official_defaults
from training.unknown import named_folders

Config = TypeVar("Config", SplitConfig, TuneConfig, CalibrateConfig)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``croft train``."""
    parser.add_argument("data", type=Path, help="class folders, domain/class folders, CSV, Parquet")
    parser.add_argument("--name", help="of the bundle (default: the name of DATA)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where bundles go (runs)")
    parser.add_argument("--recipe", type=Path, help="settings of the run, a TOML file")
    parser.add_argument("--classes", type=Path, help="classes.toml: order, display names, prompts")
    parser.add_argument(
        "--unknown", action="append", default=[], metavar="NAME=DIR",
        help="images of anything else, for the report alone; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--negatives", type=Path, metavar="FILE",
        help="names that are no class, one a line, for the score neglabel",
    )  # fmt: skip
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "croft")
    add_encoder_arguments(parser)
    _add_run_arguments(parser.add_argument_group("run; each of these overrides the recipe"))


def _add_run_arguments(group: Any) -> None:
    group.add_argument(
        "--select", choices=("auto",),
        help="choose settings of tuning and the score by the training images: docs/selection.md",
    )  # fmt: skip
    group.add_argument("--tuning", choices=("adapter", "prompt", "prompt+adapter"))
    group.add_argument(
        "--objective", choices=get_args(Objective),
        help="what is minimised (default croft); official without a recipe: the authors' settings",
    )  # fmt: skip
    group.add_argument("--shots", type=int, help="training images of each class and domain")
    group.add_argument("--domains", help="domains to train and calibrate on, with commas")
    group.add_argument("--calibration", choices=("pac", "conformal"))
    group.add_argument("--alpha", type=float, help="largest share of known images refused")
    group.add_argument("--delta", type=float, help="probability that the promise is broken")
    group.add_argument("--score", help="what decides (default energy); see docs/scores.md")
    group.add_argument("--seed", type=int)
    group.add_argument("--no-golden", action="store_true", help="no image goes into the bundle")
    group.add_argument("--no-embeddings", action="store_true", help="nor calibration embeddings")


def run(args: argparse.Namespace) -> int:
    """Train, and print the figures that the report begins with."""
    name = args.name or re.sub(r"[^A-Za-z0-9._-]+", "-", args.data.resolve().stem).strip("-.")
    result = train(
        TrainRequest(
            data=args.data,
            out=args.out,
            name=name,
            encoder=encoder_request(args),
            config=config_of(args),
            cache=args.cache,
            classes_file=args.classes,
            unknown=named_folders(args.unknown),
            negatives=args.negatives,
            auto=args.select is not None,
            only_tuning=args.tuning,
        )
    )
    print("", *lines_of(summarize(result.evaluation)), sep="\n")
    return 0


def config_of(args: argparse.Namespace) -> TrainConfig:
    """Return the recipe, with the flags that were given laid over it."""
    base = load_recipe(args.recipe) if args.recipe else _defaults(args.objective)
    domains = tuple(args.domains.split(",")) if args.domains else None
    return replace(
        base,
        split=_with(base.split, shots=args.shots, domains=domains),
        tune=_with(base.tune, tuning=args.tuning, objective=args.objective),
        calibrate=_with(
            base.calibrate, method=args.calibration, alpha=args.alpha, delta=args.delta
        ),
        score=args.score or base.score,
        seed=base.seed if args.seed is None else args.seed,
        golden_images=0 if args.no_golden else base.golden_images,
        keep_embeddings=base.keep_embeddings and not args.no_embeddings,
    )


def _defaults(objective: Objective | None) -> TrainConfig:
    """Return the settings without a recipe: for the authors' objective, the authors' own."""
    return TrainConfig(tune=official_defaults()) if objective == "official" else TrainConfig()


def _with(config: Config, **given: Any) -> Config:
    """Replace the fields whose flag was given."""
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(config, **changes)
