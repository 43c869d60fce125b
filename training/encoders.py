"""The frozen vision-language model of a run: an open_clip backbone, or a foreign ONNX encoder.

Axes: N training images, K classes, D embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from models.nn.backbone import load_backbone
from models.preprocess import Preprocess
from training.class_names import ClassSpec
from training.export import EncoderSpec, ExportedEncoder, export_encoder, wrap_encoder
from training.text_features import foreign_text_features
from training.tune import TextSource


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderRequest:
    """Which encoder: a backbone with its weights, or three files that make a foreign one."""

    backbone: str = "ViT-B-16"
    """An open_clip architecture, a file that describes one, or ``toybox``."""
    pretrained: str | None = None
    """Its weights: a tag or a file; None where the backbone brings its own."""
    encoder: Path | None = None
    """A foreign image encoder, ONNX; takes precedence over the backbone."""
    spec: Path | None = None
    """How to feed it."""
    text_features: Path | None = None
    """Its class features."""
    aliases: Path | None = None
    """Class names -> names in the text features."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DualEncoder:
    """An image encoder as ONNX, and a source of text features that belongs to it."""

    name: str
    pretrained: str
    licence: str
    source: str
    exported: ExportedEncoder
    preprocess: Preprocess
    logit_scale: float
    text: Callable[[NDArray[np.float32], NDArray[np.int64]], TextSource]
    """From the plain training embeddings (N, D) and labels (N,), which only a class without text
    features needs."""
