"""``croft serve`` as a process: starts, answers, ends as it should."""

import argparse
import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.processes import wait_until
from models.errors import BundleMissing, ConfigError
from service import healthcheck, serve
from service.loading import shipped_bundle
from tests.bundles import colour_image
from tests.service.processes import Served, served, value_of

RED = colour_image("red")


@pytest.fixture
def running(bundle_path: Path, tmp_path: Path) -> Iterator[Served]:
    """Run a service of its own for one test."""
    with served(bundle_path, tmp_path / "log") as service:
        _answer_to("GET", f"{service.url}/readyz")
        yield service


def _answer_to(method: str, url: str, data: bytes | None = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def _half_upload(port: int) -> socket.socket:
    """Begin a request, and send all of it but its last byte."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(RED)}\r\n\r\n"
    connection.sendall(head.encode() + RED[:-1])
    return connection


def test_sigterm_finishes_what_is_in_flight(running: Served) -> None:
    """Not ready at once, new work 503, the request in flight 200, exit 0."""
    status, body = _answer_to("POST", f"{running.url}/classify", RED)
    assert (status, body["label"]) == (200, "red")
    with _half_upload(running.port) as connection:
        wait_until(lambda: value_of(running, "croft_queue_images") == 1)
        running.process.terminate()
        wait_until(lambda: _answer_to("GET", f"{running.url}/readyz")[0] == 503)
        _, ready = _answer_to("GET", f"{running.url}/readyz")
        assert ready["type"] == "urn:croft:problem:draining"
        for _ in range(5):
            status, body = _answer_to("POST", f"{running.url}/classify", RED)
            assert (status, body["type"]) == (503, "urn:croft:problem:draining")
            time.sleep(0.1)
        connection.sendall(RED[-1:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert running.process.wait(20) == 0


def test_an_idle_service_ends_at_once(running: Served) -> None:
    """Ctrl-C is as good as SIGTERM, and an open idle connection delays nothing."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=20):
        running.process.send_signal(2)
        assert running.process.wait(10) == 0


def test_the_health_check_follows_readiness(
    running: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 while it is ready, 1 and the reason once it is gone."""
    parser = argparse.ArgumentParser()
    healthcheck.add_arguments(parser)
    args = parser.parse_args(["--url", running.url])
    assert healthcheck.run(args) == 0
    running.process.terminate()
    running.process.wait(20)
    assert healthcheck.run(args) == 1
    assert "does not answer" in capsys.readouterr().err


def test_the_health_check_finds_its_own_service(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --url it asks the port of the settings, also when they say any address."""
    monkeypatch.setenv("CROFT_HOST", "0.0.0.0")
    monkeypatch.setenv("CROFT_PORT", str(running.port))
    assert healthcheck.run(argparse.Namespace(url=None)) == 0


def test_remarks_about_an_upload_stay_out_of_the_log(running: Served, tmp_path: Path) -> None:
    """Notes that Pillow warns of and a form that its parser scolds: JSON lines, one a request."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert _answer_to("POST", f"{running.url}/classify", picture.getvalue())[0] == 200
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    request = urllib.request.Request(f"{running.url}/classify", data=b"--c", headers=form)
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        urllib.request.urlopen(request, timeout=20)
    caught.value.close()
    # A request's line follows its answer; the end of the process follows all lines.
    running.process.terminate()
    running.process.wait(20)

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {line["logger"] for line in lines} <= {"croft.request", "uvicorn.error"}
    assert [line["status"] for line in lines if line.get("route") == "/classify"] == [200, 400]


def test_the_health_check_asks_past_a_proxy(running: Served) -> None:
    """A proxy in the environment, as container engines put it there, is for others."""
    environment = {name: os.environ[name] for name in os.environ if name.lower() != "no_proxy"}
    process = subprocess.run(
        [sys.executable, "-m", "croft", "healthcheck", "--url", running.url],
        env=environment | {"http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")


def test_the_health_check_says_why(
    serve_not_ready: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The detail of a 503 is what it prints."""
    assert healthcheck.run(argparse.Namespace(url=serve_not_ready)) == 1
    assert capsys.readouterr().err == "croft: not ready: the golden image differs\n"


@pytest.fixture
def serve_not_ready() -> Iterator[str]:
    """Run a server that answers one request with a problem."""
    body = json.dumps({"detail": "the golden image differs"}).encode()
    code = (
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    print(server.getsockname()[1], flush=True)\n"
        "    connection, _ = server.accept()\n"
        "    connection.recv(4096)\n"
        f"    body = {body!r}\n"
        "    head = b'HTTP/1.1 503 No\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body)\n"
        "    connection.sendall(head + body)\n"
        "    connection.close()\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def _serve(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return serve.run(parser.parse_args(arguments))


def test_a_taken_port_is_explained(bundle_path: Path) -> None:
    """The message names the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}.*another --host or --port"):
            _serve(str(bundle_path), "--port", str(port))


def test_a_path_without_a_bundle_is_explained(tmp_path: Path) -> None:
    """The command ends before it listens."""
    with pytest.raises(BundleMissing, match="no bundle there"):
        _serve(str(tmp_path))


def test_the_shipped_bundle_is_found_or_missed_with_advice() -> None:
    """It lies in the package; an installation without it says what to type."""
    folder = Path(str(resources.files("models"))) / "toybox" / "bundle"
    if folder.is_dir():
        assert shipped_bundle() == folder
    else:
        with pytest.raises(BundleMissing, match="croft serve BUNDLE"):
            shipped_bundle()


def test_a_service_process_has_no_torch(bundle_path: Path) -> None:
    """A fresh interpreter that loads a bundle and classifies holds nothing of the training side."""
    code = f"""
import sys
from pathlib import Path
from starlette.testclient import TestClient
from service.app import create_app
from service.settings import Settings
with TestClient(create_app(Settings(bundles=({str(bundle_path)!r},)))) as client:
    red = Path({str(bundle_path)!r}, "golden/red.jpg").read_bytes()
    answer = client.post("/classify", content=red)
    assert answer.json()["label"] == "red", answer.text
heavy = {{"torch", "open_clip", "onnx", "scipy", "sklearn", "matplotlib", "tqdm", "training"}}
sys.exit(str(sorted(heavy & sys.modules.keys())) if heavy & sys.modules.keys() else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
