"""The Open Inference Protocol, version 2: the bytes of a request -> image files -> an answer.

One input, the tensor ``image`` of type BYTES, each element an image file: base64 in JSON, or
behind the JSON as the binary tensor data extension says (a little-endian uint32 length before
each element). Every output has one element for each image.

Axes: N images.
"""

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from models.decision import Decision
from service.base64_text import decode_base64
from service.errors import BadRequest, BodyTooLarge, too_long
from service.json_body import read_json

INPUT: Final = "image"
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_PREFIX_BYTES: Final = 4
_MAX_COMMAS: Final = 1000
"""How many more members than images the JSON may have."""
_NUMPY: Final = {"INT64": "<i8", "FP64": "<f8", "BOOL": "?"}


class Output(NamedTuple):
    """A tensor that can be asked for."""

    datatype: str
    of: Callable[[Decision], Any]
    """Its element for one image."""


OUTPUTS: Final[Mapping[str, Output]] = {
    "label": Output("BYTES", lambda d: d.label or ""),
    "predicted": Output("BYTES", lambda d: d.candidates[0].label),
    "class_index": Output("INT64", lambda d: d.candidates[0].index),
    "probability": Output("FP64", lambda d: d.candidates[0].probability),
    "energy": Output("FP64", lambda d: d.energy),
    "score": Output("FP64", lambda d: d.score),
    "p_value": Output("FP64", lambda d: d.p_value),
    "rejected": Output("BOOL", lambda d: d.rejected),
}
"""All outputs, in the order they come in when a request names none."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What a request asks for."""

    images: list[bytes]
    """N image files."""
    outputs: dict[str, bool]
    """The outputs in the order asked for, and whether each is wanted in binary."""
    id: str | None = None
    """To be sent back."""


def read_inference(body: bytes, *, header_length: int | None, most: int, limit: int) -> Inference:
    """Read a request.

    Args:
        body: JSON, and behind it the binary data of the tensor if there is any.
        header_length: the bytes of the JSON; None: all of them, 0: the body is one image file.
        most: how many images are taken.
        limit: bytes of an image.

    Raises:
        BadRequest: it does not follow the protocol, or names other tensors than there are.
        BodyTooLarge: it has too many images, or members of its JSON, or an image is too long.
    """
    if header_length == 0:
        _check_lengths([body], limit)
        return Inference([body], dict.fromkeys(OUTPUTS, False))
    if header_length is not None and header_length > len(body):
        raise BadRequest(f"{HEADER_LENGTH} is {header_length}, but the body has {len(body)} bytes.")
    content = _read_json(body[:header_length], most=most)
    tensor = _only_input(content)
    count = _count(tensor, most=most)
    tail = None if header_length is None else memoryview(body)[header_length:]
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        images = _from_json(tensor, count)
        _check_size(0, tail)
    else:
        _check_size(size, tail)
        images = _from_binary(tensor, tail or memoryview(b""), count)
    _check_lengths(images, limit)
    return Inference(images, _read_outputs(content), _read_id(content))


def write_inference(
    head: Mapping[str, Any], decisions: Sequence[Decision], outputs: Mapping[str, bool]
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON if binary data is behind it.

    Args:
        head: what comes before the tensors.
        decisions: one for each image.
        outputs: the outputs wanted, and whether in binary.
    """
    tensors, tail = [], b""
    for name, binary in outputs.items():
        datatype, of = OUTPUTS[name]
        tensor = {"name": name, "datatype": datatype, "shape": [len(decisions)]}
        values = [of(decision) for decision in decisions]
        if binary:
            data = _to_binary(values, datatype)
            tail += data
            tensors.append({**tensor, "parameters": {"binary_data_size": len(data)}})
        else:
            tensors.append({**tensor, "data": values})
    text = json.dumps({**head, "outputs": tensors}).encode()
    return text + tail, len(text) if any(outputs.values()) else None


def _read_json(text: bytes, *, most: int) -> dict[str, Any]:
    hint = f'Send a JSON object with "inputs", of at most {most} images.'
    content = read_json(text, most_commas=most + _MAX_COMMAS, hint=hint)
    if not isinstance(content, dict):
        raise BadRequest(f"The body is no JSON object. {hint}")
    return content


def _only_input(content: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = content.get("inputs")
    tensors = inputs if isinstance(inputs, list) else []
    names = [t.get("name") if isinstance(t, dict) else None for t in tensors]
    if names != [INPUT]:
        raise BadRequest(f"`inputs` must hold one tensor, `{INPUT}`, got {_short(names)}.")
    tensor: Mapping[str, Any] = tensors[0]
    if tensor.get("datatype") != "BYTES":
        raise BadRequest(
            f"`{INPUT}` must have the datatype BYTES, each element an image file, got "
            f"{_short(tensor.get('datatype'))}."
        )
    return tensor


def _count(tensor: Mapping[str, Any], *, most: int) -> int:
    """Return how many images a shape [N] or [N, 1] means."""
    match tensor.get("shape"):
        case [int(count)] | [int(count), 1] if count > 0 and not isinstance(count, bool):
            if count <= most:
                return count
            raise BodyTooLarge(
                f"The request has {_short(count)} images; at most {most} are taken at once "
                "(CROFT_MAX_BATCH_IMAGES). Send them in several requests."
            )
        case shape:
            raise BadRequest(
                f"`{INPUT}` must have the shape [N] or [N, 1] with N of at least 1, got "
                f"{_short(shape)}."
            )


def _from_json(tensor: Mapping[str, Any], count: int) -> list[bytes]:
    """Return the images of JSON data: base64, flat or nested like the shape."""
    data = tensor.get("data")
    if not isinstance(data, list):
        raise BadRequest(
            f"`{INPUT}` needs `data`, a list of base64 texts, or the parameter binary_data_size "
            "and its bytes behind the JSON. Shared memory is not offered."
        )
    if len(tensor["shape"]) == 2:
        data = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in data]
    if len(data) != count or not all(isinstance(text, str) for text in data):
        raise BadRequest(
            f"The `data` of `{INPUT}` must be base64 texts, as many as the shape says, {count}; "
            f"it has {len(data)} elements."
        )
    return [decode_base64(text, what=f"{INPUT}[{i}]") for i, text in enumerate(data)]


def _check_size(declared: Any, tail: memoryview | None) -> None:
    """Check that what is behind the JSON is what the tensor announces, and nothing else."""
    given = 0 if tail is None else len(tail)
    if isinstance(declared, bool) or declared != given:
        raise BadRequest(
            f"{given} bytes follow the JSON, but the binary_data_size of `{INPUT}` is "
            f"{_short(declared)}. {HEADER_LENGTH} must give the length of the JSON."
        )


def _from_binary(tensor: Mapping[str, Any], data: memoryview, count: int) -> list[bytes]:
    if "data" in tensor:
        raise BadRequest(f"`{INPUT}` has both `data` and binary_data_size; send one of them.")
    images: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _PREFIX_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or at > len(data):
            raise BadRequest(
                f"The binary data of `{INPUT}` ends within element {len(images)}. Each element is "
                "its length as a little-endian uint32, then its bytes."
            )
        images.append(bytes(data[start:at]))
        if len(images) > count:
            break
    if len(images) != count:
        raise BadRequest(
            f"The shape of `{INPUT}` says {count} elements, but its binary data has "
            f"{'more' if len(images) > count else len(images)}."
        )
    return images


def _check_lengths(images: Sequence[bytes], limit: int) -> None:
    for i, image in enumerate(images):
        if len(image) > limit:
            raise too_long(f"Image {i}, counted from 0, has {len(image):,} bytes", limit=limit)


def _read_outputs(content: Mapping[str, Any]) -> dict[str, bool]:
    """Return the outputs asked for, and whether in binary; all of them if none is named."""
    usual = _flag(_parameters(content), "binary_data_output", default=False)
    asked = content.get("outputs") or []
    if not isinstance(asked, list):
        raise BadRequest(f"`outputs` must be a list, got {_short(asked)}.")
    outputs: dict[str, bool] = {}
    for output in asked:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in OUTPUTS or name in outputs:
            raise BadRequest(
                f"Each of `outputs` must name another one of {', '.join(OUTPUTS)}, got "
                f"{_short(name)}."
            )
        parameters = _parameters(output)
        if "classification" in parameters:
            raise BadRequest(
                "The classification extension is not offered; ask for `predicted`, `class_index` "
                "and `probability`."
            )
        outputs[name] = _flag(parameters, "binary_data", default=usual)
    return outputs or dict.fromkeys(OUTPUTS, usual)


def _read_id(content: Mapping[str, Any]) -> str | None:
    given = content.get("id")
    if given is not None and not isinstance(given, str):
        raise BadRequest(f"`id` must be a text, got {_short(given)}.")
    return given


def _parameters(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    given = owner.get("parameters", {})
    if not isinstance(given, dict):
        raise BadRequest(f"`parameters` must be an object, got {_short(given)}.")
    return given


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    given = parameters.get(name, default)
    if not isinstance(given, bool):
        raise BadRequest(f"`{name}` must be true or false, got {_short(given)}.")
    return given


def _to_binary(values: Sequence[Any], datatype: str) -> bytes:
    if datatype != "BYTES":
        return np.array(values, dtype=_NUMPY[datatype]).tobytes()
    elements = [text.encode() for text in values]
    return b"".join(len(e).to_bytes(_PREFIX_BYTES, "little") + e for e in elements)


def _short(given: object) -> str:
    """Return what was given as it may stand in an error."""
    return reprlib.repr(given)
