"""A foreign encoder, wrapped, gives what it gives when it is fed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.encoder import OnnxEncoder
from models.errors import ConfigError
from tests.helpers import shared_path
from training.wrap import EncoderSpec, wrap_encoder

# Axes: B batch, H height, W width, C channel, D embedding.

SPEC = EncoderSpec(
    input="image",
    output="features",
    mean=(10.0, 20.0, 30.0),
    std=(100.0, 50.0, 25.0),
    resize_shorter_side=10,
    center_crop=8,
    logit_scale=30.0,
    licence="MIT",
)
TOML = """
input = "image"
output = "features"
mean = [10.0, 20.0, 30.0]
std = [100.0, 50.0, 25.0]
resize_shorter_side = 10
center_crop = 8
logit_scale = 30.0
licence = "MIT"
"""


def write_graph(
    folder: Path,
    *,
    shape: Sequence[int | str | None] = ("N", 3, 8, 8),
    names: tuple[str, str] = ("image", "features"),
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    inside: int = 192,
) -> Path:
    """Write a graph: all pixels of an image times a fixed random matrix, 5 numbers an image."""
    weights = np.random.default_rng(0).standard_normal((192, 5)).astype(np.float32)
    start, end = names
    nodes = [
        helper.make_node("Cast", [start], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "rows"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], [end]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(start, dtype, list(shape))],
        [helper.make_tensor_value_info(end, TensorProto.FLOAT, [shape[0], 5])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([-1, inside]), "rows"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    path = folder / "foreign.onnx"
    onnx.save(model, path)
    return path


def random_pixels(count: int, size: int) -> NDArray[np.uint8]:
    """Return random pictures, (count, size, size, 3)."""
    shape = (count, size, size, 3)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def run_raw(path: Path, fed: NDArray[Any]) -> Any:
    """Return the first output of a graph, by ONNX's own interpreter."""
    (output, *_) = ReferenceEvaluator(str(path)).run(None, {"image": fed.astype(np.float32)})
    return output


def fed_by_hand(path: Path, pixels_BHWC: NDArray[np.uint8], *, layout: str) -> Any:
    """Return what the raw graph gives for pixels normalised outside of it."""
    normal_BHWC = (pixels_BHWC - np.array(SPEC.mean)) / np.array(SPEC.std)
    fed = normal_BHWC if layout == "NHWC" else normal_BHWC.transpose(0, 3, 1, 2)
    return run_raw(path, fed)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [("NCHW", ("N", 3, 8, 8)), ("NHWC", ("N", 8, 8, 3)), ("NCHW", (None, 3, "h", "w"))],
)
def test_a_wrapped_encoder_equals_the_one_fed_by_hand(
    layout: Any, shape: tuple[int | str | None, ...], tmp_path: Path
) -> None:
    """In either layout, with fixed or free sides."""
    path = write_graph(tmp_path, shape=shape)
    wrapped = wrap_encoder(path, replace(SPEC, layout=layout), cache=tmp_path)
    encoder, pixels_BHWC = OnnxEncoder(wrapped.path), random_pixels(3, 8)
    assert (encoder.size, encoder.dim) == (8, 5)
    np.testing.assert_allclose(
        encoder.embed(pixels_BHWC), fed_by_hand(path, pixels_BHWC, layout=layout), rtol=1e-4
    )


def test_names_of_the_foreign_graph_may_be_ours(tmp_path: Path) -> None:
    """A graph whose own tensors are called as ours is wrapped all the same."""
    path = write_graph(tmp_path, names=("pixels", "embedding"))
    spec = replace(SPEC, input="pixels", output="embedding")
    encoder = OnnxEncoder(wrap_encoder(path, spec, cache=tmp_path).path)
    assert encoder.embed(random_pixels(2, 8)).shape == (2, 5)


def test_weights_beside_the_graph_are_part_of_it(tmp_path: Path) -> None:
    """The graph's file stays the same when those weights change; what is cached does not."""
    path = write_graph(tmp_path)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=100)
    first = wrap_encoder(path, SPEC, cache=tmp_path)
    weights = tmp_path / "weights"
    weights.write_bytes(np.ones_like(np.frombuffer(weights.read_bytes(), np.float32)).tobytes())

    other = wrap_encoder(path, SPEC, cache=tmp_path)

    assert other.digest != first.digest


def test_a_graph_for_one_image_at_a_time_stays_one(tmp_path: Path) -> None:
    """On the CPU images run alone anyway; the graph does not promise more than it can."""
    path = write_graph(tmp_path, shape=(1, 3, 8, 8))
    wrapped = wrap_encoder(path, SPEC, cache=tmp_path)
    pixels_BHWC = random_pixels(2, 8)
    expected_BD = [fed_by_hand(path, pixels_BHWC[i : i + 1], layout="NCHW")[0] for i in range(2)]
    embedding_BD = OnnxEncoder(wrapped.path).embed(pixels_BHWC)
    np.testing.assert_allclose(embedding_BD, expected_BD, rtol=1e-4)
    assert onnx.load(wrapped.path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_a_graph_is_wrapped_once(tmp_path: Path) -> None:
    """The same graph and spec give the same file; another spec another one."""
    path = write_graph(tmp_path)
    first, again = (wrap_encoder(path, SPEC, cache=tmp_path) for _ in range(2))
    other = wrap_encoder(path, replace(SPEC, mean=(0.0, 0.0, 0.0)), cache=tmp_path)
    assert first == again
    assert other.digest != first.digest
    assert first.exporter == f"wrapped by onnx {onnx.__version__}, opset 17"


@pytest.mark.parametrize(
    ("graph", "spec", "message"),
    [
        ({}, {"input": "picture"}, r"`input` is 'picture', but the inputs of .* \['image'\]"),
        ({}, {"output": "logits"}, r"`output` is 'logits', but the outputs of .* \['features'\]"),
        ({}, {"layout": "NHWC"}, r"`layout` NHWC and `center_crop` 8 .*takes \[None, 3, 8, 8\]"),
        ({}, {"center_crop": 6}, r"`center_crop` 6 mean an input \(B, 3, 6, 6\)"),
        ({"dtype": TensorProto.FLOAT16}, {}, "`dtype` is float32, but .* takes float16"),
        ({"opset": 6}, {}, r"its operator set is \[6\]; at least 7"),
        ({"inside": 100}, {}, "does not run on images of 8 x 8 pixels, as `center_crop`"),
    ],
)
def test_a_spec_that_does_not_fit_names_the_field(
    graph: dict[str, Any], spec: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Whoever wrote the spec learns which line is wrong, and what the graph says."""
    path = write_graph(tmp_path, **graph)
    with pytest.raises(ConfigError, match=message):
        wrap_encoder(path, replace(SPEC, **spec), cache=tmp_path)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(ConfigError, match=r"broken\.onnx: not an ONNX graph"):
        wrap_encoder(path, SPEC, cache=tmp_path)


def test_a_spec_is_read_from_toml(tmp_path: Path) -> None:
    """The file's fields are the spec's; what is left out has the usual value."""
    path = tmp_path / "encoder.toml"
    path.write_text(TOML, encoding="utf-8")
    assert EncoderSpec.read(path) == SPEC
    assert (SPEC.preprocess.resize, SPEC.preprocess.crop) == (10, 8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('licence = "MIT"', "", "missing 1 required field.*'licence'"),
        ('input = "image"', 'input = "image"\ncolour = "RGB"', r"no field \['colour'\]; there are"),
        ("logit_scale = 30.0", "logit_scale = 0", "`std` and `logit_scale` must be > 0"),
        ("[100.0, 50.0, 25.0]", "[1.0, 1.0]", "`std` must be three numbers, red first"),
        ("center_crop = 8", "center_crop = 11", "1 <= crop <= resize"),
        ("center_crop = 8", 'center_crop = 8\nlayout = "HWC"', "`layout` must be one of NCHW"),
        ("center_crop = 8", 'center_crop = 8\ninterpolation = "nearest"', "`interpolation`"),
        ("center_crop = 8", 'center_crop = 8\ndtype = "uint8"', "`dtype` must be one of float32"),
        ("center_crop = 8", "center_crop =", "not a spec that can be read"),
    ],
)
def test_a_wrong_spec_is_refused_by_field(old: str, new: str, message: str, tmp_path: Path) -> None:
    """File and field are named, for every way to be wrong."""
    path = tmp_path / "encoder.toml"
    path.write_text(TOML.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"encoder\.toml: (.|\n)*{message}"):
        EncoderSpec.read(path)


def test_a_real_photo_encoder_is_wrapped(tmp_path: Path) -> None:
    """MobileNetV2 gives the embeddings of its raw graph, fed by hand one image at a time."""
    folder = shared_path("encoders/mobilenetv2-imagenet")
    spec = EncoderSpec.read(folder / "encoder.toml")
    wrapped = wrap_encoder(folder / "encoder.onnx", spec, cache=tmp_path)
    pixels_BHWC = random_pixels(1, 224)
    fed_BCHW = ((pixels_BHWC.astype(np.float32) - 128) / 128).transpose(0, 3, 1, 2)
    expected_BD = run_raw(folder / "encoder.onnx", fed_BCHW)
    difference_BD = OnnxEncoder(wrapped.path).embed(pixels_BHWC) - expected_BD
    assert np.linalg.norm(difference_BD) / np.linalg.norm(expected_BD) < 1e-4
