"""A backbone's image encoder -> the ONNX graph that training and serving embed with.

Axes: B batch, H height, W width, C channel, D embedding.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.encoder import INPUT, OUTPUT, OnnxEncoder
from models.errors import BackboneError
from models.nn.backbone import Backbone
from training.graph_cache import ExportedEncoder, make_once

OPSET: Final = 20
TOLERANCE: Final = 1e-5
"""Largest relative error of an embedding between torch and the graph."""

_NOISY: Final = ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")


class EncoderGraph(nn.Module):
    """uint8 pixels (B, H, W, 3) -> embeddings (B, D): normalising belongs to the graph."""

    def __init__(self, visual: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """Take the image encoder and its normalisation, of pixels in 0..1."""
        super().__init__()
        self.visual = visual
        self.register_buffer("mean", 255 * torch.tensor(mean))
        self.register_buffer("std", 255 * torch.tensor(std))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return embeddings (B, D), not normalised."""
        normal_BHWC = (pixels.float() - cast(Tensor, self.mean)) / cast(Tensor, self.std)
        embedding_BD: Tensor = self.visual(normal_BHWC.permute(0, 3, 1, 2))
        return embedding_BD


def export_encoder(backbone: Backbone, *, cache: Path) -> ExportedEncoder:
    """Return the backbone's image encoder as a graph, exported at most once.

    The file depends on the weights, what they are built into, the normalisation and the exporter
    alone, so that all bundles of a backbone carry the same encoder, by digest. A first export
    takes 10 to 30 seconds.

    Raises:
        BackboneError: torch cannot export it, or the graph does not give torch's embeddings.
    """
    size = str(backbone.preprocess.crop)

    def make(path: Path) -> None:
        path.write_bytes(_export(backbone))
        error = parity_error(backbone, path)
        if not error <= TOLERANCE:
            raise BackboneError(
                f"The exported encoder of `{backbone.name}` differs from torch by {error:.1e} "
                f"(relative), more than {TOLERANCE:.0e}. {_exporter()} cannot export this "
                "architecture faithfully: try other versions, or another backbone."
            )

    key = (backbone.digest, backbone.architecture, size, repr(backbone.mean), repr(backbone.std))
    return make_once(cache, key=key, exporter=_exporter(), make=make)


@torch.no_grad()
def parity_error(backbone: Backbone, path: Path, *, images: int = 4, seed: int = 0) -> float:
    """Return the largest relative error of the graph's embeddings of random pixels."""
    size = backbone.preprocess.crop
    shape = (images, size, size, 3)
    pixels_BHWC = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    expected_BD = _graph(backbone)(torch.from_numpy(pixels_BHWC)).numpy().astype(np.float64)
    difference_BD = OnnxEncoder(path).embed(pixels_BHWC) - expected_BD
    lengths_B = np.linalg.norm(expected_BD, axis=1)
    return float((np.linalg.norm(difference_BD, axis=1) / lengths_B).max())


def _exporter() -> str:
    return f"torch {torch.__version__}, onnx {onnx.__version__}, opset {OPSET}"


def _graph(backbone: Backbone) -> EncoderGraph:
    return EncoderGraph(backbone.visual, backbone.mean, backbone.std).eval()


def _export(backbone: Backbone) -> bytes:
    size = backbone.preprocess.crop
    example_BHWC = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    try:
        with _quiet():
            program = torch.onnx.export(
                _graph(backbone),
                (example_BHWC,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("B")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
        assert program is not None  # what the exporter that dynamo replaced would return
        model = program.model_proto
        _forget_origin(model)
        return bytes(model.SerializeToString(deterministic=True))
    except Exception as error:  # the exporter's classes are many and not stable
        raise BackboneError(
            f"torch cannot export the image encoder of `{backbone.name}` to ONNX: {error} "
            f"(with {_exporter()}; a graph holds at most 2 GiB of weights)."
        ) from error


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop stack traces and other traces of this machine: the same weights, the same file."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")
        tensor.ClearField("doc_string")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice to its own developers off the screen."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
