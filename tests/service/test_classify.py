"""``POST /classify``: three body forms, one answer, and the right status for everything else."""

import base64
import io
import json
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from models.bundle import Bundle
from models.decision import decide
from models.encoder import OnnxEncoder
from service.schemas import Classification
from tests.bundles import KNOWN, PREPROCESS, UNKNOWN, colour_image, load_tiny
from tests.helpers import make_image
from tests.service.conftest import Serve

RED = colour_image("red")
WHITE = colour_image("white")


def _json(data: bytes) -> dict[str, Any]:
    return {"image": {"b64": base64.b64encode(data).decode()}}


def _ask(client: TestClient, data: bytes, *, query: str = "", kind: str = "image/jpeg") -> Any:
    return client.post(f"/classify{query}", content=data, headers={"Content-Type": kind})


def _problem(response: Any, status: int, slug: str) -> str:
    """Check that a response is this problem, in full, and return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"urn:croft:problem:{slug}"
    assert body["status"] == status
    assert body["error"] == body["detail"]
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert body["title"]
    assert body["instance"]
    return str(body["detail"])


def _body(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return {key: value for key, value in body.items() if key != "request_id"}


def test_the_answer_has_every_field(client: TestClient, bundle: Bundle) -> None:
    """The fields are those of the design, and hang together as it says."""
    response = _ask(client, RED)
    Classification.model_validate_json(response.text, strict=True)
    answer = _body(response)
    assert list(answer) == [
        *("bundle", "label", "rejected", "energy", "score", "p_value", "p_cut", "candidates"),
    ]
    assert answer["bundle"] == "colours@1"
    assert answer["score"] == {
        "name": "energy",
        "value": answer["energy"],
        "threshold": bundle.threshold.value,
    }
    assert answer["p_cut"] == bundle.threshold.rank / (bundle.threshold.n + 1)
    assert answer["candidates"][0] == {
        "label": "red",
        "index": 0,
        "probability": pytest.approx(1, abs=0.01),
    }


@pytest.mark.parametrize("colour", [*KNOWN, *UNKNOWN])
def test_the_answer_is_the_decision_of_the_models(
    client: TestClient, bundle: Bundle, colour: str
) -> None:
    """Through HTTP, queue and batch, the numbers are bit for bit those of the direct path."""
    data = colour_image(colour, seed=5)
    encoder = OnnxEncoder(bundle.encoder_path)
    expected = decide(bundle, encoder.embed(PREPROCESS.pixels(data)[None])[0])
    answer = _body(_ask(client, data))
    assert answer["label"] == expected.label == (colour if colour in KNOWN else None)
    assert answer["rejected"] is expected.rejected is (colour in UNKNOWN)
    assert answer["energy"] == expected.energy
    assert answer["p_value"] == expected.p_value
    assert [c["probability"] for c in answer["candidates"]] == [
        c.probability for c in expected.candidates
    ]
    assert answer["rejected"] == (answer["score"]["value"] > answer["score"]["threshold"])
    assert answer["rejected"] == (answer["p_value"] <= answer["p_cut"])


def test_three_forms_give_one_answer(client: TestClient) -> None:
    """Raw, multipart and JSON bodies of one file are the same request."""
    raw = _body(_ask(client, WHITE))
    assert _body(client.post("/classify", files={"file": ("w.jpg", WHITE, "image/jpeg")})) == raw
    assert _body(client.post("/classify", json=_json(WHITE))) == raw
    assert raw["label"] is None


@pytest.mark.parametrize(
    "kind",
    [
        "image/png",
        "IMAGE/JPEG; q=1",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ],
)
def test_the_bytes_decide_and_not_the_raw_type(client: TestClient, kind: str) -> None:
    """Any image type is read, and so is what ``curl --data-binary`` says on its own."""
    assert _body(_ask(client, RED, kind=kind))["label"] == "red"


def test_a_body_without_a_type_is_an_image(client: TestClient) -> None:
    """Nothing said about the type means bytes."""
    response = client.post("/classify", content=RED)
    assert _body(response)["label"] == "red"


def test_top_k_limits_the_candidates(client: TestClient) -> None:
    """As many candidates as asked for, at most all classes, best first."""
    assert len(_body(_ask(client, RED, query="?top_k=2"))["candidates"]) == 2
    probabilities = [
        c["probability"] for c in _body(_ask(client, RED, query="?top_k=9"))["candidates"]
    ]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "two", "1.5", "", "1001", "9" * 40, "0" * 8 + "11001", "0" * 8 + "1" * 5000, "²"],
)
def test_a_wrong_top_k_is_refused(client: TestClient, text: str) -> None:
    """Only whole numbers within the limits are taken."""
    response = client.post("/classify", params={"top_k": text}, content=RED)
    assert "integer from 1 to 1000" in _problem(response, 400, "bad-request")


def test_a_bundle_is_chosen_by_name_and_version(serve: Serve, tmp_path: Path) -> None:
    """By name alone the newest of that name answers; an unknown one is 404 and lists the rest."""
    bundles = [
        load_tiny(tmp_path / f"{name}-{version}", name=name, version=version)
        for name, version in (("a", "1"), ("a", "2"), ("b", "1"))
    ]
    client = serve(*bundles)
    for query, expected in (
        ("", "a@1"),
        ("?bundle=a", "a@2"),
        ("?bundle=a@2", "a@2"),
        ("?bundle=b", "b@1"),
    ):
        assert _body(_ask(client, RED, query=query))["bundle"] == expected
    detail = _problem(_ask(client, RED, query="?bundle=b@2"), 404, "unknown-bundle")
    assert "Loaded: a@1, a@2, b@1" in detail


# ------------------------------------------------------------------ what cannot be answered


def _png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


HEIC = b"\0\0\0\x18ftypheix\0\0\0\0mif1heix" + b"\0" * 64


@pytest.mark.parametrize(
    ("data", "status", "slug", "says"),
    [
        (b"", 422, "undecodable", "empty"),
        (b"hello", 415, "unsupported-format", "JPEG, PNG"),
        (RED[:-100], 422, "undecodable", "truncated"),
        (RED[:50], 422, "undecodable", "damaged"),
        (_png_header(10_000, 10_000), 413, "image-too-large", "at most 50,000,000"),
        (b"%PDF-1.7 ...", 415, "unsupported-format", "Formats that can"),
    ],
)
def test_images_that_cannot_be_read(
    client: TestClient, data: bytes, status: int, slug: str, says: str
) -> None:
    """Each kind of trouble has its status, and words about what is allowed."""
    assert says in _problem(_ask(client, data), status, slug)


def test_a_format_without_its_decoder_names_the_extra(client: TestClient) -> None:
    """HEIC is decoded where the extra is installed (this one is broken), else 415 names it."""
    response = _ask(client, HEIC, kind="image/heic")
    if response.status_code == 415:
        assert "pip install pillow-heif" in _problem(response, 415, "unsupported-format")
    else:
        _problem(response, 422, "undecodable")


@pytest.mark.parametrize(
    "data",
    [
        make_image(size=(1, 1), format="PNG"),
        make_image(size=(1, 1), format="GIF", mode="P"),
        make_image(size=(3000, 2), format="PNG"),
        make_image(mode="CMYK"),
        make_image(mode="L"),
        make_image(mode="RGBA", format="PNG"),
        make_image(format="WEBP"),
        make_image(format="BMP"),
        make_image(format="TIFF"),
        make_image(orientation=6),
    ],
    ids=["1x1", "gif", "thin", "cmyk", "grey", "transparent", "webp", "bmp", "tiff", "rotated"],
)
def test_unusual_pictures_are_answered(client: TestClient, data: bytes) -> None:
    """A picture that is merely odd gets an answer, not an error."""
    assert np.isfinite(_body(_ask(client, data))["energy"])


def test_deep_pictures_are_answered(client: TestClient) -> None:
    """Sixteen bits a pixel are converted."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 20), 40_000, dtype=np.uint16)).save(buffer, format="PNG")
    assert "energy" in _body(_ask(client, buffer.getvalue()))


@pytest.mark.parametrize("kind", ["text/plain", "application/pdf", "video/mp4", "nonsense"])
def test_other_content_types_are_refused(client: TestClient, kind: str) -> None:
    """415 names the three forms that are read."""
    detail = _problem(_ask(client, RED, kind=kind), 415, "unsupported-media")
    assert "multipart/form-data" in detail
    assert kind in detail


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    """A content coding is named, not silently misread."""
    response = client.post("/classify", content=RED, headers={"Content-Encoding": "gzip"})
    assert "gzip" in _problem(response, 415, "unsupported-media")


@pytest.mark.parametrize(
    ("files", "status", "slug", "says"),
    [
        ({"image": ("a.jpg", RED)}, 400, "bad-request", "no field `file`; its fields: 'image'"),
        ({"file": (None, "text")}, 400, "bad-request", "not a file"),
        ([("file", ("a.jpg", RED)), ("file", ("b.jpg", RED))], 400, "bad-request", "2 fields"),
        ([(f"f{i}", ("a.jpg", b"x")) for i in range(20)], 400, "bad-request", "more than 16 parts"),
        ({"file": ("a.jpg", b"")}, 422, "undecodable", "empty"),
    ],
)
def test_forms_that_hold_no_image(
    client: TestClient, files: Any, status: int, slug: str, says: str
) -> None:
    """A missing, doubled, textual or empty field is told apart."""
    assert says in _problem(client.post("/classify", files=files), status, slug)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"no boundary at all"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nnameless\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b""),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut',
        ),
    ],
)
def test_malformed_forms_are_refused(client: TestClient, kind: str, body: bytes) -> None:
    """No boundary, a nameless part, or a form that ends too early: 400."""
    _problem(_ask(client, body, kind=kind), 400, "bad-request")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"null",
        b"[]",
        b"{}",
        json.dumps({"image": "aGk="}).encode(),
        json.dumps({"image": {"url": "http://10.0.0.1/cat.jpg"}}).encode(),
        json.dumps({"image": {"b64": 5}}).encode(),
        json.dumps({"image": {"b64": "data:image/png;base64,aGk="}}).encode(),
        json.dumps({"image": {"b64": "a"}}).encode(),
        json.dumps({"image": {"b64": "äöü"}}).encode(),
    ],
)
def test_malformed_json_is_refused(client: TestClient, body: bytes) -> None:
    """400 for what is not JSON, not of that form, not base64, or a URL."""
    _problem(_ask(client, body, kind="application/json"), 400, "bad-request")


def test_base64_may_be_wrapped(client: TestClient) -> None:
    """Line breaks, as the command ``base64`` writes them, are no error."""
    content = {"image": {"b64": base64.encodebytes(RED).decode()}}
    assert _body(client.post("/classify", json=content))["label"] == "red"


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b'{"image": {"b64": "' + b"aa " * 1_000_000 + b'"}}', 415, "unsupported-format"),
        (b"[" + b"[]," * 1_000_000 + b"[]]", 413, "body-too-large"),
    ],
    ids=["crumbs", "lists"],
)
def test_json_takes_a_few_times_its_length_in_memory(
    client: TestClient, body: bytes, status: int, slug: str
) -> None:
    """Base64 in crumbs, and a million lists: never an object for every crumb or comma."""
    tracemalloc.start()
    try:
        _problem(_ask(client, body, kind="application/json"), status, slug)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(body)


def test_a_body_over_the_limit_is_refused(serve: Serve) -> None:
    """By its declared length before anything is read, or in chunks as soon as it is exceeded."""
    client = serve(max_body_bytes=len(RED))
    assert _body(_ask(client, RED))["label"] == "red"
    detail = _problem(_ask(client, RED + b"x"), 413, "body-too-large")
    assert f"{len(RED) + 1:,} bytes; at most {len(RED):,}" in detail
    chunks = iter([RED, b"x" * 10])
    response = client.post("/classify", content=chunks, headers={"Content-Type": "image/jpeg"})
    assert "more than" in _problem(response, 413, "body-too-large")


def test_a_pixel_limit_is_set_by_the_deployment(serve: Serve) -> None:
    """CROFT_MAX_PIXELS counts width times height."""
    client = serve(max_pixels=48 * 48)
    assert _ask(client, colour_image("red", size=48)).status_code == 200
    _problem(_ask(client, colour_image("red", size=49)), 413, "image-too-large")


def test_wrong_methods_and_paths_are_problems(client: TestClient) -> None:
    """405 names what is allowed; 404 says where to look."""
    response = client.get("/classify")
    assert "POST" in _problem(response, 405, "wrong-method")
    assert response.headers["Allow"] == "POST"
    assert "/docs" in _problem(client.get("/nothing"), 404, "unknown-route")
