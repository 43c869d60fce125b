"""The codec of the Open Inference Protocol, against what tritonclient writes and reads."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tritonclient.http import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
)

from models.decision import Candidate, Decision
from service.errors import BadRequest, BodyTooLarge
from service.oip import OUTPUTS, Inference, read_inference, write_inference

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Time says nothing here: the machine may be busy."""
IMAGES = st.lists(st.binary(max_size=40), min_size=1, max_size=9)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Draw a decision."""
    rejected = draw(st.booleans())
    best = Candidate(draw(NAMES), draw(st.integers(0, 10**6)), draw(FLOATS))
    label = None if rejected else best.label
    return Decision(label, rejected, draw(FLOATS), draw(FLOATS), draw(FLOATS), (best,))


def _array(items: Sequence[bytes | str], shape: Sequence[int]) -> NDArray[np.object_]:
    array = np.empty(len(items), dtype=np.object_)
    array[:] = items
    return array.reshape(shape)


def _request(
    images: Sequence[bytes], *, binary: bool = True, column: bool = False, **options: Any
) -> tuple[bytes, int | None]:
    """Return what tritonclient sends, and the length of its JSON."""
    shape = [len(images), 1] if column else [len(images)]
    tensor = InferInput("image", shape, "BYTES")
    items = images if binary else [base64.b64encode(image).decode() for image in images]
    tensor.set_data_from_numpy(_array(items, shape), binary_data=binary)
    body, length = InferenceServerClient.generate_request_body([tensor], **options)
    return body, length


def _read(body: bytes, length: int | None = None, *, most: int = 9) -> Inference:
    return read_inference(body, header_length=length, most=most, limit=10**6)


@patient
@given(images=IMAGES, binary=st.booleans(), column=st.booleans())
def test_requests_of_tritonclient_are_read(images: list[bytes], binary: bool, column: bool) -> None:
    """Binary or base64 in JSON, flat or a column: the same files come out, all outputs binary."""
    body, length = _request(images, binary=binary, column=column, request_id="7")
    assert (length is None) is not binary
    assert _read(body, length) == Inference(images, dict.fromkeys(OUTPUTS, True), "7")


@patient
@given(wanted=st.lists(st.tuples(st.sampled_from(list(OUTPUTS)), st.booleans()), min_size=1))
def test_requested_outputs_are_read(wanted: list[tuple[str, bool]]) -> None:
    """Each output in the order asked for, in binary or not as it says."""
    asked = dict(wanted)
    outputs = [InferRequestedOutput(name, binary_data=binary) for name, binary in asked.items()]
    read = _read(*_request([b"x"], outputs=outputs))
    assert list(read.outputs.items()) == list(asked.items())


@patient
@given(
    answers=st.lists(decisions(), min_size=1, max_size=5),
    outputs=st.dictionaries(st.sampled_from(list(OUTPUTS)), st.booleans(), min_size=1),
)
def test_answers_are_read_by_tritonclient(
    answers: list[Decision], outputs: dict[str, bool]
) -> None:
    """Every number comes back bit for bit, every label in full, in JSON and in binary."""
    body, length = write_inference({"model_name": "m"}, answers, outputs)
    assert (length is None) is not any(outputs.values())
    result: InferResult = InferenceServerClient.parse_response_body(body, header_length=length)
    assert [output["name"] for output in result.get_response()["outputs"]] == list(outputs)
    for name, binary in outputs.items():
        datatype, of = OUTPUTS[name]
        values = [of(answer) for answer in answers]
        if datatype == "BYTES" and binary:
            values = [value.encode() for value in values]
        assert result.as_numpy(name).tolist() == values


def test_a_rejected_image_has_no_label_but_a_nearest_class() -> None:
    """The label is the empty text; `predicted`, its index and probability are still told."""
    decision = Decision(None, True, 1.5, 2.5, 0.01, (Candidate("cat", 3, 0.75),))
    body, _ = write_inference({}, [decision], dict.fromkeys(OUTPUTS, False))
    assert {o["name"]: o["data"] for o in json.loads(body)["outputs"]} == {
        "label": [""],
        "predicted": ["cat"],
        "class_index": [3],
        "probability": [0.75],
        "energy": [1.5],
        "score": [2.5],
        "p_value": [0.01],
        "rejected": [True],
    }


def test_a_header_length_of_zero_means_one_raw_image() -> None:
    """The whole body is the file."""
    assert _read(b"\x00\x01{", 0) == Inference([b"\x00\x01{"], dict.fromkeys(OUTPUTS, False))


def _json(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": ["AA==", "AQ=="]}
    return {"inputs": [{**tensor, **changes}]}


def test_without_outputs_all_come_in_json() -> None:
    """That is the protocol's default; `binary_data_output` changes it, and an output its own."""
    assert _read(json.dumps(_json()).encode()).outputs == dict.fromkeys(OUTPUTS, False)
    content = {
        **_json(),
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "label"}, {"name": "energy", "parameters": {"binary_data": False}}],
    }
    read = _read(json.dumps(content).encode())
    assert read.outputs == {"label": True, "energy": False}


BAD: dict[str, tuple[Any, str]] = {
    "no object": ([], "JSON object"),
    "no inputs": ({}, "`inputs` must hold one tensor"),
    "two inputs": ({"inputs": _json()["inputs"] * 2}, "one tensor"),
    "another input": (_json(name="pixels"), r"one tensor, `image`, got \['pixels'"),
    "another datatype": (_json(datatype="FP32"), "BYTES.*got 'FP32'"),
    "no shape": (_json(shape=None), "shape .N. or .N, 1."),
    "no images": (_json(shape=[0], data=[]), "at least 1"),
    "a flag as shape": (_json(shape=[True], data=["AA=="]), "at least 1"),
    "two columns": (_json(shape=[1, 2]), "shape .N. or .N, 1."),
    "another count": (_json(shape=[3]), "as many as the shape says, 3; it has 2"),
    "no data": (_json(data=None), "Shared memory is not offered"),
    "numbers": (_json(data=[1, 2]), "base64 texts"),
    "not base64": (_json(data=["AA==", "%"]), "`image.1.` is not base64"),
    "a size without bytes": (_json(parameters={"binary_data_size": 3}), "0 bytes follow"),
    "parameters": (_json(parameters=[]), "`parameters` must be an object"),
    "a number as id": ({**_json(), "id": 5}, "`id` must be a text"),
    "outputs": ({**_json(), "outputs": "label"}, "`outputs` must be a list"),
    "an unknown output": ({**_json(), "outputs": [{"name": "logits"}]}, "label, predicted"),
    "an output twice": ({**_json(), "outputs": [{"name": "label"}] * 2}, "another one"),
    "classification": (
        {**_json(), "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
        "not offered; ask for `predicted`",
    ),
    "a word as flag": (
        {**_json(), "parameters": {"binary_data_output": "yes"}},
        "`binary_data_output` must be true or false, got 'yes'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_breaks_the_protocol_is_explained(case: str) -> None:
    """The error names the member, what was given and what is allowed."""
    content, message = BAD[case]
    with pytest.raises(BadRequest, match=message):
        _read(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("tail", "size", "message"),
    [
        (b"\x01\x00\x00\x00a", 4, "5 bytes follow the JSON.*is 4"),
        (b"\x01\x00\x00\x00a", True, "is True"),
        (b"\x02\x00\x00\x00a", 5, "ends within element 0"),
        (b"\x01\x00\x00\x00a\x00\x00", 7, "ends within element 1"),
        (b"\x00" * 4, 4, "says 2 elements, but its binary data has 1"),
        (b"\x00" * 12, 12, "says 2 elements, but its binary data has more"),
    ],
)
def test_broken_binary_data_is_explained(tail: bytes, size: int, message: str) -> None:
    """Sizes that do not fit each other say which."""
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2]}
    content = {"inputs": [{**tensor, "parameters": {"binary_data_size": size}}]}
    text = json.dumps(content).encode()
    with pytest.raises(BadRequest, match=message):
        _read(text + tail, len(text))


def test_data_comes_one_way_only() -> None:
    """JSON data and binary data together leave open which is meant."""
    text = json.dumps(_json(parameters={"binary_data_size": 8})).encode()
    with pytest.raises(BadRequest, match="both `data` and binary_data_size"):
        _read(text + b"\x00" * 8, len(text))


def test_more_images_than_allowed_are_refused() -> None:
    """Both in the shape and as members of JSON, before they become objects."""
    with pytest.raises(BodyTooLarge, match=r"10 images; at most 9 .*CROFT_MAX_BATCH_IMAGES"):
        _read(*_request([b""] * 10))
    with pytest.raises(BodyTooLarge, match="more than 1,009 members"):
        _read(b"[" + b"0," * 1010 + b"0]")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = ("name", "datatype", "shape", "data", "parameters")


@patient
@given(
    tensor=st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, VALUES)),
    rest=st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "parameters", "outputs"), VALUES)),
    tail=st.binary(max_size=20),
    cut=st.integers(-3, 3) | st.none(),
)
def test_nothing_else_ever_goes_wrong(
    tensor: dict[str, Any], rest: dict[str, Any], tail: bytes, cut: int | None
) -> None:
    """Whatever comes is read, or refused as the sender's mistake."""
    text = json.dumps({"inputs": [{**_json()["inputs"][0], **tensor}], **rest}).encode()
    length = None if cut is None else len(text) + cut
    try:
        read = _read(text + tail, length)
    except (BadRequest, BodyTooLarge):
        return
    assert 1 <= len(read.images) <= 9


@patient
@given(body=st.binary(max_size=200), length=st.none() | st.integers(0, 250))
def test_any_bytes_are_read_or_refused(body: bytes, length: int | None) -> None:
    """Bytes that were never a request are no exception."""
    try:
        _read(body, length)
    except BadRequest:
        return


@patient
@given(
    images=IMAGES,
    at=st.integers(0, 10_000),
    change=st.integers(1, 255),
    binary=st.booleans(),
)
def test_a_damaged_request_is_read_or_refused(
    images: list[bytes], at: int, change: int, binary: bool
) -> None:
    """One byte of a good request flipped, anywhere."""
    body, length = _request(images, binary=binary)
    damaged = bytearray(body)
    damaged[at % len(body)] ^= change
    try:
        assert len(_read(bytes(damaged), length).images) <= 9
    except (BadRequest, BodyTooLarge):
        return
