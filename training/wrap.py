"""Any image encoder in ONNX -> the graph form that training and serving embed with.

Axes: B batch, H height, W width, C channel, D embedding.
"""

import hashlib
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from models.encoder import INPUT, OUTPUT, OnnxEncoder
from models.errors import ConfigError
from models.preprocess import Interpolation, Preprocess
from training.graph_cache import ExportedEncoder, make_once

Layout = Literal["NCHW", "NHWC"]
Dtype = Literal["float32"]

_PREFIX: Final = "foreign/"
_OLDEST_OPSET: Final = 7
"""The first in which Sub and Div broadcast."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """How to feed a foreign encoder: the fields of its ``encoder.toml``."""

    input: str
    """Name of the graph's input."""
    output: str
    """Name of the output that is the embedding, (B, D)."""
    mean: tuple[float, ...]
    """Per channel, red first, in 0..255 units: the encoder sees (x - mean) / std."""
    std: tuple[float, ...]
    """Per channel, in 0..255 units."""
    resize_shorter_side: int
    """In pixels."""
    center_crop: int
    """In pixels: the side of the square that the encoder takes."""
    logit_scale: float
    """The inverse temperature that its embeddings and text features were trained with."""
    licence: str
    """Of the weights."""
    layout: Layout = "NCHW"
    """Order of the input's axes."""
    dtype: Dtype = "float32"
    """Type of the input."""
    interpolation: Interpolation = "bicubic"
    """Resampling filter."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be fed."""
        for name, choices in (("layout", get_args(Layout)), ("dtype", get_args(Dtype))):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"`{name}` must be one of {', '.join(choices)}, got {getattr(self, name)!r}."
                )
        for name in ("mean", "std"):
            value = getattr(self, name)
            if len(value) != 3 or not np.all(np.isfinite(value)):
                raise ConfigError(f"`{name}` must be three numbers, red first, got {value}.")
        if min(self.std) <= 0 or not 0 < self.logit_scale < float("inf"):
            raise ConfigError(
                f"`std` and `logit_scale` must be > 0, got {self.std} and {self.logit_scale}."
            )
        _ = self.preprocess  # which checks the sizes and the filter

    @property
    def preprocess(self) -> Preprocess:
        """Picture -> pixels."""
        return Preprocess(
            resize=self.resize_shorter_side,
            crop=self.center_crop,
            interpolation=self.interpolation,
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an ``encoder.toml``.

        Raises:
            ConfigError: not readable, or a field is missing, unknown or impossible, by its name.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: not a spec that can be read: {error}.") from error
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"{path}: no field {unknown}; there are {', '.join(known)}.")
        try:
            return cls(**{name: _tuple(value) for name, value in values.items()})
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{path}: {_without_class(error)}") from error


def wrap_encoder(path: Path, spec: EncoderSpec, *, cache: Path) -> ExportedEncoder:
    """Return a graph that takes uint8 pixels and gives what the foreign one would give.

    Its batch is free, or 1 where the foreign graph's is: enough for a CPU, where images run alone.

    Raises:
        ConfigError: the file is no such graph, or the spec does not fit it; names the field.
    """
    model = _load(path)
    exporter = f"wrapped by onnx {onnx.__version__}, opset {_opset(model, path)}"

    def make(made: Path) -> None:
        made.write_bytes(_wrap(model, spec, path).SerializeToString(deterministic=True))
        _check(made, spec, path)

    # Of the model, not of the file: its weights may lie in files beside it.
    content = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    key = (content, repr(asdict(spec)))
    return make_once(cache, key=key, exporter=exporter, make=make)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _without_class(error: Exception) -> str:
    """Return the message; a missing field is named by the constructor."""
    return str(error).replace("EncoderSpec.__init__() ", "").replace("keyword-only arg", "field")


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's classes, the checker's, the file system's
        raise ConfigError(f"{path}: not an ONNX graph that can be read: {error}") from error
    return model


def _opset(model: onnx.ModelProto, path: Path) -> int:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions or versions[0] < _OLDEST_OPSET:
        raise ConfigError(
            f"{path}: its operator set is {versions or 'none of ONNX'}; at least "
            f"{_OLDEST_OPSET} is needed. Convert it with onnx.version_converter."
        )
    return int(versions[0])


def _wrap(model: onnx.ModelProto, spec: EncoderSpec, path: Path) -> onnx.ModelProto:
    """Put a front that takes uint8 before the graph, and only its embedding behind."""
    batch, dim = _validated(model.graph, spec, path)
    size = spec.center_crop
    wrapped = compose.add_prefix(model, _PREFIX)
    graph = wrapped.graph
    last = helper.make_node("Identity", [_PREFIX + spec.output], [OUTPUT])
    nodes = [*_front(spec), *graph.node, last]
    initializers = [*_constants(spec), *graph.initializer]
    for repeated, values in ((graph.node, nodes), (graph.initializer, initializers)):
        del repeated[:]
        repeated.extend(values)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(
        helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, size, size, 3])
    )
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, dim]))
    return wrapped


def _validated(graph: onnx.GraphProto, spec: EncoderSpec, path: Path) -> tuple[int | str, int]:
    """Return the batch, 1 or free, and D, of a graph that is what the spec says."""
    fed = _inputs(graph)
    _check_name("input", spec.input, [value.name for value in fed], path)
    _check_name("output", spec.output, [value.name for value in graph.output], path)
    if len(fed) != 1:
        raise ConfigError(f"{path}: must have one input, has {[value.name for value in fed]}.")
    _check_input(fed[0], spec, path)
    dim = _dim(next(value for value in graph.output if value.name == spec.output), path)
    shape = fed[0].type.tensor_type.shape.dim
    return (shape[0].dim_value if shape else 0) or "B", dim


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that are fed: old graphs list their weights among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _check_name(field: str, given: str, names: list[str], path: Path) -> None:
    if given not in names:
        raise ConfigError(f"`{field}` is {given!r}, but the {field}s of {path} are {names}.")


def _check_input(value: onnx.ValueInfoProto, spec: EncoderSpec, path: Path) -> None:
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ConfigError(f"`dtype` is {spec.dtype}, but {path} takes {found}.")
    shape = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    side = spec.center_crop
    wanted = (3, side, side) if spec.layout == "NCHW" else (side, side, 3)
    fits = len(shape) == 4 and all(
        found in (None, expected) for found, expected in zip(shape[1:], wanted, strict=True)
    )
    if tensor.HasField("shape") and not fits:
        raise ConfigError(
            f"`layout` {spec.layout} and `center_crop` {side} mean an input (B, "
            f"{', '.join(map(str, wanted))}), but {path} takes {shape} (None: any)."
        )


def _dim(value: onnx.ValueInfoProto, path: Path) -> int:
    dims = value.type.tensor_type.shape.dim
    if len(dims) != 2 or not dims[1].dim_value:
        raise ConfigError(
            f"`output` {value.name!r} of {path} must be (B, D) with a fixed D, has "
            f"{[d.dim_value or d.dim_param for d in dims]}."
        )
    return int(dims[1].dim_value)


def _front(spec: EncoderSpec) -> list[onnx.NodeProto]:
    last = _PREFIX + spec.input
    normal = last if spec.layout == "NHWC" else "croft/normal"
    front = [
        helper.make_node("Cast", [INPUT], ["croft/float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["croft/float", "croft/mean"], ["croft/centred"]),
        helper.make_node("Div", ["croft/centred", "croft/std"], [normal]),
    ]
    if spec.layout == "NCHW":
        front.append(helper.make_node("Transpose", [normal], [last], perm=[0, 3, 1, 2]))
    return front


def _constants(spec: EncoderSpec) -> list[TensorProto]:
    return [
        numpy_helper.from_array(np.asarray(values, np.float32), f"croft/{name}")
        for name, values in (("mean", spec.mean), ("std", spec.std))
    ]


def _check(made: Path, spec: EncoderSpec, path: Path) -> None:
    """Check the graph, and run it."""
    try:
        onnx.checker.check_model(str(made))
        encoder = OnnxEncoder(made)
        shape = (2, encoder.size, encoder.size, 3)
        pixels_BHWC = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        embedding_BD = encoder.embed(pixels_BHWC)
    except Exception as error:  # the runtime's own classes are not a stable interface
        raise ConfigError(
            f"{path}: does not run on images of {spec.center_crop} x {spec.center_crop} pixels, "
            f"as `center_crop` and `layout` say: {error}"
        ) from error
    if not np.all(np.isfinite(embedding_BD)):
        raise ConfigError(f"`output` {spec.output!r} of {path} is not finite on random pixels.")
