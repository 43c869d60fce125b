"""``croft calibrate``: another promise or score for a bundle, without any image."""

import argparse
from pathlib import Path
from typing import get_args

from models.bundle import Bundle
from models.errors import ConfigError
from models.threshold import Method
from training.calibrate import CalibrateConfig, expectation
from training.recalibrate import recalibrate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `croft train` wrote")
    parser.add_argument("--alpha", type=float, help="largest share of known images to refuse")
    parser.add_argument(
        "--delta", type=float, help="probability that the promise may be broken (pac only)"
    )
    parser.add_argument(
        "--calibration",
        choices=get_args(Method),
        help="pac: a promise with confidence; conformal: on average only (marginal)",
    )
    parser.add_argument("--score", metavar="NAME", help="what decides; see docs/scores.md")
    parser.add_argument("--out", type=Path, help="directory of the new version")


def run(args: argparse.Namespace) -> int:
    """Write the new version; what is not given stays as the bundle has it."""
    bundle = Bundle.load(args.bundle)
    config = _config(bundle, args)
    written = Bundle.load(recalibrate(bundle, config, score=args.score, out=args.out))
    old, new = bundle.threshold, written.threshold
    print(f"{written.manifest.name} {written.manifest.version}: {expectation(new)}")
    print(f"threshold {old.value:.4f} -> {new.value:.4f} (score {new.rank} of {new.n})")
    former, score = bundle.manifest.score.name, written.manifest.score.name
    if score != former:
        print(f"score {former} -> {score}")
    print(written.path)
    return 0


def _config(bundle: Bundle, args: argparse.Namespace) -> CalibrateConfig:
    old = bundle.threshold
    method = args.calibration or old.method
    if method == "conformal" and args.delta is not None:
        raise ConfigError(
            "--delta is the confidence of the pac promise; conformal has none. Leave it out, or "
            "give --calibration pac."
        )
    alpha = old.alpha if args.alpha is None else args.alpha
    delta = old.delta if args.delta is None else args.delta
    if delta is None:  # conformal, before or now
        return CalibrateConfig(method=method, alpha=alpha)
    return CalibrateConfig(method=method, alpha=alpha, delta=delta)
