"""An exported encoder gives torch's embeddings, and is the same file wherever it is made."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.encoder import OnnxEncoder
from models.errors import BackboneError
from models.nn.backbone import Backbone, load_backbone
from tests.backbones import VISION, tiny_backbone
from training.export import OPSET, TOLERANCE, export_encoder, parity_error
from training.graph_cache import ExportedEncoder

# Axes: B batch, C channel, H height, W width, D embedding.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Return a tiny backbone with random weights."""
    return tiny_backbone(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def exported(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> ExportedEncoder:
    """Return the tiny backbone's graph."""
    return export_encoder(tiny, cache=tmp_path_factory.mktemp("cache"))


class Small(nn.Module):
    """An image encoder that exports in a second."""

    def __init__(self) -> None:
        super().__init__()
        rows = torch.linspace(-1, 1, 15).reshape(3, 5)
        self.register_buffer("rows", rows)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return five numbers an image."""
        return torch.tanh(pixels_BCHW).mean(dim=(2, 3)) @ cast(Tensor, self.rows)


def with_tower(backbone: Backbone, tower: nn.Module) -> Backbone:
    """Return a backbone with another image encoder."""
    model = nn.Module()
    model.visual = tower
    return replace(backbone, model=model, digest=type(tower).__name__)


def test_the_graph_gives_torchs_embeddings(tiny: Backbone, exported: ExportedEncoder) -> None:
    """On pixels it was not checked with, the relative error is below the tolerance."""
    assert parity_error(tiny, exported.path, images=8, seed=1) <= TOLERANCE


def test_the_graph_normalises_as_the_backbone_says(
    tiny: Backbone, exported: ExportedEncoder
) -> None:
    """It takes uint8 and equals the image encoder on (pixels / 255 - mean) / std."""
    shape = (3, 32, 32, 3)
    pixels_BHWC = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    normal_BHWC = (pixels_BHWC / 255 - np.array(tiny.mean)) / np.array(tiny.std)
    normal_BCHW = torch.from_numpy(normal_BHWC.transpose(0, 3, 1, 2)).float()
    expected_BD = tiny.visual(normal_BCHW).numpy()
    encoder = OnnxEncoder(exported.path)
    assert (encoder.size, encoder.dim) == (32, 16)
    np.testing.assert_allclose(encoder.embed(pixels_BHWC), expected_BD, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_file_is_the_same_wherever_it_is_made(tiny: Backbone, tmp_path: Path) -> None:
    """Another export gives the same bytes, without a trace of the machine."""
    small = with_tower(tiny, Small())
    first, again = (export_encoder(small, cache=tmp_path / name) for name in ("a", "b"))
    content = first.path.read_bytes()
    assert first.path != again.path
    assert first.digest == again.digest
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"stack_trace" not in content


def test_an_export_is_used_again(tiny: Backbone, exported: ExportedEncoder) -> None:
    """The second call finds the file and leaves it alone."""
    before = exported.path.stat().st_mtime_ns
    assert export_encoder(tiny, cache=exported.path.parents[1]) == exported
    assert exported.path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_other_normalisation_is_another_graph(tiny: Backbone, tmp_path: Path) -> None:
    """The same weights with another mean give other embeddings, so another file."""
    small = with_tower(tiny, Small())
    first = export_encoder(small, cache=tmp_path)
    other = export_encoder(replace(small, mean=(0.5, 0.5, 0.5)), cache=tmp_path)
    assert other.path != first.path
    assert parity_error(replace(small, mean=(0.5, 0.5, 0.5)), other.path) <= TOLERANCE


@pytest.mark.slow
def test_the_same_weights_in_another_architecture_are_another_graph(tmp_path: Path) -> None:
    """Two heads instead of four have the same weights, and give other embeddings."""
    four = tiny_backbone(tmp_path, vision_cfg=VISION | {"head_width": 8})
    two = tiny_backbone(tmp_path)
    assert four.digest == two.digest

    export_encoder(four, cache=tmp_path)

    assert parity_error(two, export_encoder(two, cache=tmp_path).path) <= TOLERANCE


def test_the_exporter_is_recorded(exported: ExportedEncoder) -> None:
    """Packages, versions and operator set are part of a bundle's provenance."""
    assert exported.exporter.startswith(f"torch {torch.__version__}, onnx ")
    assert exported.exporter.endswith(f"opset {OPSET}")


@pytest.mark.slow
def test_exporting_is_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The exporter's own remarks reach neither screen nor log, and its loggers are restored."""
    resnet = VISION | {"layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    level = logging.getLogger("onnxscript").level
    export_encoder(tiny_backbone(tmp_path, vision_cfg=resnet), cache=tmp_path)
    assert capfd.readouterr() == ("", "")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert logging.getLogger("onnxscript").level == level


def test_a_graph_that_differs_is_refused_with_figures(tiny: Backbone, tmp_path: Path) -> None:
    """An encoder that torch exports wrongly never reaches a bundle."""

    class Changing(nn.Module):
        """Computes something else when it is exported."""

        def forward(self, pixels_BCHW: Tensor) -> Tensor:
            mean_BC = pixels_BCHW.mean(dim=(2, 3))
            return mean_BC * 1.01 if torch.compiler.is_exporting() else mean_BC

    with pytest.raises(BackboneError, match=r"differs from torch by 1\.0e-02 .*more than 1e-05"):
        export_encoder(with_tower(tiny, Changing()), cache=tmp_path)
    assert list(tmp_path.rglob("*.onnx")) == []


def test_an_encoder_that_cannot_be_exported_is_named(tiny: Backbone, tmp_path: Path) -> None:
    """torch's reason and the backbone's name are in the message."""

    class Branching(nn.Module):
        """Depends on values, which a graph cannot."""

        def forward(self, pixels_BCHW: Tensor) -> Tensor:
            mean_BC = pixels_BCHW.mean(dim=(2, 3))
            return mean_BC if mean_BC.sum().item() > 0 else -mean_BC

    with pytest.raises(BackboneError, match="cannot export the image encoder of `tiny` to ONNX"):
        export_encoder(with_tower(tiny, Branching()), cache=tmp_path)


@pytest.mark.slow
def test_the_toybox_encoder_exports_faithfully(tmp_path: Path) -> None:
    """The shipped weights, not random ones, meet the tolerance."""
    backbone = load_backbone("toybox")
    exported = export_encoder(backbone, cache=tmp_path)
    assert parity_error(backbone, exported.path, images=8, seed=1) <= TOLERANCE
