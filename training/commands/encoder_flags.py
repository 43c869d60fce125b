"""The flags that choose an encoder, for every command that embeds."""

import argparse
from pathlib import Path

from training.encoders import EncoderRequest


def add_encoder_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them, in a group of their own."""
    group = parser.add_argument_group("encoder")
    group.add_argument(
        "--backbone", default=EncoderRequest().backbone,
        help="an open_clip architecture, a file of one, or toybox (default %(default)s)",
    )  # fmt: skip
    group.add_argument("--pretrained", help="its weights: a tag or a file")
    group.add_argument("--encoder", type=Path, help="any other image encoder, as ONNX")
    group.add_argument("--encoder-spec", type=Path, help="how to feed it, a TOML file")
    group.add_argument("--text-features", type=Path, help="its class features, an .npz file")
    group.add_argument("--aliases", type=Path, help="TOML: class name = name in --text-features")


def encoder_request(args: argparse.Namespace) -> EncoderRequest:
    """Return what they ask for.

    Raises:
        ConfigError: they do not go together.
    """
    return EncoderRequest(
        backbone=args.backbone,
        pretrained=args.pretrained,
        encoder=args.encoder,
        spec=args.encoder_spec,
        text_features=args.text_features,
        aliases=args.aliases,
    )
