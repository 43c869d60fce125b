"""`croft toybox`: draw toy images, show them on a sheet, or pretrain the encoder."""

import argparse
from pathlib import Path

from training.toybox.images import KNOWN, STYLES, UNKNOWN, write_images
from training.toybox.sheet import save_sheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their flags."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    images = actions.add_parser("images", help="write fresh images as style/object folders")
    images.add_argument("directory", type=Path, help="where to write")
    images.add_argument("--seed", type=int, default=0, help="another seed, other images")
    images.add_argument("--per-class", type=int, default=20, help="images per object and style")
    images.add_argument(
        "--styles",
        nargs="+",
        default=list(STYLES),
        metavar="STYLE",
        help=f"any of: {', '.join(STYLES)} (default: all)",
    )
    images.add_argument(
        "--objects",
        nargs="+",
        metavar="NAME",
        help=f"known: {', '.join(KNOWN)}; unknown: {', '.join(UNKNOWN)}; "
        "or texture (default: all of these)",
    )
    sheet = actions.add_parser("sheet", help="write a labelled sheet of samples as one PNG")
    sheet.add_argument("path", type=Path, help="file to write")
    sheet.add_argument("--seed", type=int, default=0, help="another seed, other samples")
    pretrain = actions.add_parser("pretrain", help="pretrain the Toybox encoder from nothing")
    pretrain.add_argument(
        "--out",
        type=Path,
        default=Path("toybox"),
        help="folder for the weights and the record of the run",
    )
    pretrain.add_argument("--recipe", type=Path, help="a TOML recipe instead of the shipped one")
    for name in ("seed", "images", "epochs"):
        pretrain.add_argument(f"--{name}", type=int, help=f"instead of the recipe's {name}")


def run(args: argparse.Namespace) -> int:
    """Do what was asked and return the exit status."""
    actions = {"images": _images, "sheet": _sheet, "pretrain": _pretrain}
    return actions[args.action](args)


def _images(args: argparse.Namespace) -> int:
    count = write_images(
        args.directory,
        seed=args.seed,
        per_class=args.per_class,
        styles=args.styles,
        names=args.objects,
    )
    print(f"{count} images in {args.directory}")
    return 0


def _sheet(args: argparse.Namespace) -> int:
    save_sheet(args.path, seed=args.seed)
    print(args.path)
    return 0


def _pretrain(args: argparse.Namespace) -> int:
    # Drawing images needs no torch; only this action waits for it.
    from training.toybox.pretrain import load_recipe
    from training.toybox.record import pretrain_and_record

    flags = {"seed": args.seed, "images": args.images, "epochs": args.epochs}
    config = load_recipe(args.recipe, **{k: v for k, v in flags.items() if v is not None})
    record = pretrain_and_record(config, args.out)
    for style, share in record.accuracy.items():
        print(f"zero-shot accuracy, {style:<9} {share:6.1%}")
    print(f"weights and record in {args.out}")
    return 0
