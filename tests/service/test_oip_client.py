"""tritonclient from PyPI, unchanged, against a real server process; and the document's examples."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from benchmarks.load.accounts import read_accounts
from service.keys import new_key
from service.oip import OUTPUTS
from tests.bundles import colour_image, tiny_bundle
from tests.service.processes import Served, served

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "open-inference.md").read_text()
RED, WHITE, BLUE = colour_image("red"), colour_image("white"), colour_image("blue")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a bundle named as in the document, for all tests of this module."""
    folder = tmp_path_factory.mktemp("oip")
    with served(tiny_bundle(folder / "b", name="toybox"), folder / "log") as running:
        yield running


@pytest.fixture
def client(service: Served) -> Iterator[Any]:
    """Return a client with four connections."""
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}", concurrency=4) as client:
        yield client


def _image(*files: bytes, binary: bool = True, shape: Sequence[int] | None = None) -> Any:
    items = list(files) if binary else [base64.b64encode(file).decode() for file in files]
    array = np.array(items, dtype=np.object_).reshape(shape or [len(files)])
    tensor = triton.InferInput("image", list(array.shape), "BYTES")
    return tensor.set_data_from_numpy(array, binary_data=binary)


def test_it_lives_and_is_ready(client: Any) -> None:
    """Server, model and version; a model that is not there is not ready."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toybox")
    assert client.is_model_ready("toybox", "1")
    assert not client.is_model_ready("toybox", "2")


def test_it_describes_itself(client: Any) -> None:
    """Server, model with its tensors, and the list of models."""
    assert client.get_server_metadata()["name"] == "croft"
    model = client.get_model_metadata("toybox", "1")
    assert (model["name"], model["versions"]) == ("toybox", ["1"])
    assert model["inputs"][0].items() >= {"name": "image", "datatype": "BYTES"}.items()
    assert {o["name"]: o["datatype"] for o in model["outputs"]} == {
        name: output.datatype for name, output in OUTPUTS.items()
    }
    (entry,) = client.get_model_repository_index()
    assert entry == {"name": "toybox", "version": "1", "state": "READY", "reason": ""}


@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_it_decides(
    service: Served, client: Any, shape: list[int], binary_in: bool, binary_out: bool
) -> None:
    """However the tensors travel, the numbers are those that /classify gives."""
    wanted = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in OUTPUTS]
    image = _image(RED, WHITE, BLUE, binary=binary_in, shape=shape)
    result = client.infer("toybox", [image], outputs=wanted, request_id="r-1")
    assert result.get_response()["id"] == "r-1"
    singles = [
        httpx.post(f"{service.url}/classify", content=file).json() for file in (RED, WHITE, BLUE)
    ]
    for name in ("energy", "p_value", "rejected"):
        assert result.as_numpy(name).tolist() == [single[name] for single in singles]
    best = [single["candidates"][0] for single in singles]
    assert result.as_numpy("class_index").tolist() == [b["index"] for b in best]
    assert result.as_numpy("probability").tolist() == [b["probability"] for b in best]
    labels = result.as_numpy("label").tolist()
    assert labels == ([b"red", b"", b"blue"] if binary_out else ["red", "", "blue"])


def test_it_gives_what_was_asked_for(client: Any) -> None:
    """One output in binary, one in JSON, no other."""
    wanted = [
        triton.InferRequestedOutput("rejected", binary_data=False),
        triton.InferRequestedOutput("label", binary_data=True),
    ]
    result = client.infer("toybox", [_image(WHITE)], model_version="1", outputs=wanted)
    rejected, label = result.get_response()["outputs"]
    assert rejected["data"] == [True]
    assert label["parameters"] == {"binary_data_size": 4}
    assert result.as_numpy("energy") is None


def test_requests_that_wait_together_get_their_own_answers(client: Any) -> None:
    """Sixteen at once over four connections."""
    files = [RED, WHITE, BLUE, RED] * 4
    waiting = [client.async_infer("toybox", [_image(file)]) for file in files]
    labels = [w.get_result().as_numpy("label")[0] for w in waiting]
    assert labels == [b"red", b"", b"blue", b"red"] * 4


@pytest.mark.parametrize(
    ("ask", "status", "message"),
    [
        ({"inputs": [_image(RED, b"junk")]}, "415", "none: 1. Image 1: The data is not an image"),
        ({"inputs": [_image(RED, RED[:-50])]}, "422", "none: 1. Image 1: "),
        ({"inputs": [_image(RED)], "model_name": "nope"}, "404", "Loaded: toybox@1"),
        ({"inputs": [_image(RED)], "model_version": "7"}, "404", "toybox@7"),
        ({"inputs": [triton.InferInput("pixels", [1], "FP32")]}, "400", "one tensor, `image`"),
        (
            {"inputs": [_image(RED)], "request_compression_algorithm": "gzip"},
            "415",
            "Send it unencoded",
        ),
        (
            {
                "inputs": [_image(RED)],
                "outputs": [triton.InferRequestedOutput("label", class_count=2)],
            },
            "400",
            "classification extension is not offered",
        ),
    ],
)
def test_an_error_says_what_to_do(
    client: Any, ask: dict[str, Any], status: str, message: str
) -> None:
    """The exception of the client has the status and our words."""
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer(**{"model_name": "toybox", **ask})
    assert caught.value.status() == status
    assert message in caught.value.message()


def test_everything_was_counted(service: Served, client: Any) -> None:
    """After eight images in three requests, both sides have grown by eight."""
    before = read_accounts(service.port)
    client.infer("toybox", [_image(RED, WHITE, BLUE, RED)])
    for files, says in (((RED, b"junk", WHITE), "Image 1: "), ((b"",), "empty")):
        with pytest.raises(InferenceServerException, match=says):
            client.infer("toybox", [_image(*files)])
    grown = read_accounts(service.port).since(before)
    assert grown.received == 8
    assert {outcome: images for outcome, images in grown.outcomes.items() if images} == {
        "accepted": 4,
        "rejected": 2,
        "invalid": 2,
    }


def test_a_key_goes_with_each_call(tmp_path: Path) -> None:
    """Where keys are on, health is open, and all else wants the header that the document names."""
    text, key = new_key("triton", "classify")
    (tmp_path / "keys.txt").write_text(key.line)
    bundle, log = tiny_bundle(tmp_path / "b", name="toybox"), tmp_path / "log"
    with (
        served(bundle, log, keys_file=str(tmp_path / "keys.txt")) as service,
        triton.InferenceServerClient(f"127.0.0.1:{service.port}") as client,
    ):
        assert client.is_server_live()
        with pytest.raises(InferenceServerException, match="needs an API key"):
            client.infer("toybox", [_image(RED)])
        headers = {"X-API-Key": text}
        result = client.infer("toybox", [_image(RED)], headers=headers)
        assert result.as_numpy("label").tolist() == [b"red"]
        assert client.get_model_metadata("toybox", headers=headers)["name"] == "toybox"
        assert len(client.get_model_repository_index(headers=headers)) == 1


# ------------------------------------------------------------------ the document


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def _here(text: str, service: Served) -> str:
    return text.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")


def test_the_python_of_the_document_works(service: Served, tmp_path: Path) -> None:
    """Beside a known and an unknown image it prints a label and `unknown`."""
    (tmp_path / "a.jpg").write_bytes(RED)
    (tmp_path / "b.jpg").write_bytes(WHITE)
    (script,) = _blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", _here(script, service)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["red", "unknown"]


@pytest.mark.parametrize("command", _blocks("sh")[0].splitlines())
def test_the_commands_of_the_document_work(service: Served, tmp_path: Path, command: str) -> None:
    """Each line, run by a shell beside a photo.jpg, prints the answer for it."""
    (tmp_path / "photo.jpg").write_bytes(BLUE)
    done = subprocess.run(
        ["bash", "-c", _here(command, service)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = httpx.Response(200, text=done.stdout).json()
    assert (answer["model_name"], answer["outputs"][0]["data"]) == ("toybox", ["blue"])


def test_every_output_and_route_is_documented(service: Served) -> None:
    """The tables have each output with its datatype, and each path."""
    rows = re.findall(r"^\| `(\w+)` \| `([A-Z0-9]+)` \|", TEXT, re.MULTILINE)
    assert rows == [(name, output.datatype) for name, output in OUTPUTS.items()]
    documented = set(re.findall(r"`(?:GET|POST) (/v2[^`]*)`", TEXT))
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    real = {path.replace("/versions/{version}", "") for path in paths if path.startswith("/v2")}
    assert documented == real
