"""examples/client.py: answers, patience within bounds, and nothing lost or doubled."""

import json
import os
import re
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.processes import wait_until
from tests.bundles import colour_image
from tests.service.processes import Served, served, value_of
from tests.service.test_archive import zip_of

SCRIPT = Path(__file__).parents[2] / "examples" / "client.py"
RED, WHITE = colour_image("red"), colour_image("white")
IMAGES = {"a.jpg": RED, "b.jpg": WHITE, "c.jpg": b"junk"}


@pytest.fixture(scope="module")
def service(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a bundle for all tests that only ask."""
    with served(bundle_path, tmp_path_factory.mktemp("client") / "log") as running:
        yield running


def _command(service: Served, *arguments: str) -> list[str]:
    return [sys.executable, str(SCRIPT), "--url", service.url, "--top-k", "1", *arguments]


def _run(service: Served, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    for name, data in IMAGES.items():
        (folder / name).write_bytes(data)
    return subprocess.run(
        _command(service, *arguments), cwd=folder, capture_output=True, text=True, check=False
    )


def _check(lines: list[str], *, names: list[str]) -> None:
    known, unknown, broken = sorted(lines)
    assert known.startswith(f"{names[0]}: red (")
    assert unknown.startswith(f"{names[1]}: not one of the known classes")
    assert broken.startswith(f"{names[2]}: no answer: Not a readable image format")


def test_files_get_a_line_each(service: Served, tmp_path: Path) -> None:
    """A known, an unknown and a broken file; status 1 for the broken one."""
    done = _run(service, tmp_path, "classify", *IMAGES)
    _check(done.stdout.splitlines(), names=list(IMAGES))
    assert done.returncode == 1
    assert _run(service, tmp_path, "classify", "a.jpg").returncode == 0


def test_a_folder_gets_a_line_for_each_image_and_a_bar(service: Served, tmp_path: Path) -> None:
    """Also of folders in it; what is no image by its name stays at home."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.PNG").write_bytes(colour_image("blue", format="PNG"))
    (tmp_path / "notes.txt").write_text("x")
    done = _run(service, tmp_path, "batch", ".")
    *three, blue = sorted(done.stdout.splitlines())
    _check(three, names=list(IMAGES))
    assert blue.startswith("more/d.PNG: blue (")
    assert "4/4" in done.stderr
    assert done.returncode == 1


def test_a_zip_file_is_sent_as_it_is(service: Served, tmp_path: Path) -> None:
    """The names in it are those of the lines."""
    (tmp_path / "x.zip").write_bytes(zip_of(*[(f"in/{n}", d) for n, d in IMAGES.items()]))
    done = _run(service, tmp_path, "batch", "x.zip")
    _check(done.stdout.splitlines(), names=[f"in/{name}" for name in IMAGES])
    assert "3/3" in done.stderr


def test_a_service_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A batch that cannot be sent, and a file that is missing: status 1, and why."""
    nobody = ["--url", "http://127.0.0.1:9", "batch", "nothing.zip"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *nobody], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"nothing.zip" in done.stderr


def _shed(service: Served) -> float:
    return value_of(service, "croft_images_total", outcome="shed")


def test_a_full_queue_is_waited_for(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server sends it away with 503; when there is a place again, it gets its answer."""
    monkeypatch.setenv("CROFT_QUEUE_IMAGES", "1")
    (tmp_path / "a.jpg").write_bytes(RED)
    with (
        served(bundle_path, tmp_path / "log") as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=20) as upload,
    ):
        upload.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(RED)
        )
        wait_until(lambda: value_of(service, "croft_queue_images") == 1)
        command = _command(service, "classify", "a.jpg")
        client = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: client.poll() is not None or _shed(service))
            assert client.poll() is None
            upload.sendall(RED)
            output, _ = client.communicate(timeout=60)
        finally:
            client.kill()
            client.wait()
    assert output.startswith("a.jpg: red (")
    assert client.returncode == 0


# ------------------------------------------------------------------ patience


Answer = httpx.Response | Exception


class _Script:
    """A service that answers from a list, and remembers what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Give the next answer."""
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def module() -> dict[str, Any]:
    """Return the names of the script."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list of seconds that are slept, which takes no time."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


def _client(module: dict[str, Any], script: Callable[..., httpx.Response], **options: Any) -> Any:
    http = httpx.Client(transport=httpx.MockTransport(script), base_url="http://x")
    return module["Client"](http, **options)


def _away(status: int = 503, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"title": "Overloaded", "detail": "full"})


def test_retry_after_is_honoured(module: dict[str, Any], waits: list[float]) -> None:
    """Of 503 and 429: at least as long as it says, at most a tenth longer."""
    script = _Script(
        _away(503, **{"Retry-After": "7"}),
        _away(429, **{"Retry-After": "2"}),
        httpx.Response(200, json={"label": "red"}),
    )
    assert _client(module, script).classify(b"x") == {"label": "red"}
    assert 7 <= waits[0] <= 7.7
    assert 2 <= waits[1] <= 2.2


def test_without_retry_after_it_backs_off(module: dict[str, Any], waits: list[float]) -> None:
    """A connection that fails is tried again, later each time, and not for ever."""
    script = _Script(httpx.ConnectError("refused"))
    with pytest.raises(module["NoAnswer"], match="ConnectError: refused"):
        _client(module, script).classify(b"x")
    assert len(script.asked) == 6
    assert len(waits) == 5
    assert all(0.25 * 2**n <= wait <= 0.55 * 2**n for n, wait in enumerate(waits))


def test_patience_ends_in_time(module: dict[str, Any], waits: list[float]) -> None:
    """A service that says to come back in an hour is not waited for."""
    script = _Script(_away(503, **{"Retry-After": "3600"}))
    with pytest.raises(module["NoAnswer"], match="Overloaded: full"):
        _client(module, script).classify(b"x")
    assert waits == []
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422, 500, 504])
def test_other_problems_are_not_tried_again(
    module: dict[str, Any], waits: list[float], status: int
) -> None:
    """They would be the same again."""
    script = _Script(_away(status))
    with pytest.raises(module["NoAnswer"], match="Overloaded: full"):
        _client(module, script).classify(b"x")
    assert (len(script.asked), waits) == (1, [])


def test_the_key_is_sent(module: dict[str, Any]) -> None:
    """With every request, as a bearer token; without a key there is no such header."""
    lines = '{"index": 0, "status": 200}\n{"summary": {}}\n'
    for key, sent in (("secret", "Bearer secret"), (None, None)):
        script = _Script(httpx.Response(200, json={}), httpx.Response(200, text=lines))
        client = _client(module, script, key=key)
        client.classify(b"x")
        assert len(list(client.batch(content=b"x"))) == 1
        assert [request.headers.get("Authorization") for request in script.asked] == [sent] * 2


def _lines(*statuses: int, whole: bool = True) -> httpx.Response:
    items = [{"index": i, "status": status, "name": f"{i}"} for i, status in enumerate(statuses)]
    text = "".join(json.dumps(item) + "\n" for item in items)
    return httpx.Response(200, text=text + '{"summary": {}}\n' if whole else text)


def test_a_stream_that_is_cut_off_is_asked_for_again(
    module: dict[str, Any], waits: list[float]
) -> None:
    """By its summary a whole one is known; what was there before is not given twice."""
    script = _Script(_lines(200, 415, whole=False), _away(503), _lines(200, 415, 200))
    items = list(_client(module, script).batch(content=b"x"))
    assert [(item["index"], item["status"]) for item in items] == [(0, 200), (1, 415), (2, 200)]
    assert len(waits) == 2


def test_images_that_were_not_reached_are_asked_for_again(
    module: dict[str, Any], waits: list[float]
) -> None:
    """A service that ends answers 503 for the rest: another one decides them."""
    script = _Script(_lines(200, 503, 504), _lines(200, 200, 503), _lines(200, 200, 200))
    items = list(_client(module, script).batch(content=b"x"))
    assert [(item["index"], item["status"]) for item in items] == [(0, 200), (1, 200), (2, 200)]
    assert len(waits) == 2


def test_images_that_are_never_reached_are_given_as_they_are(
    module: dict[str, Any], waits: list[float]
) -> None:
    """When the patience ends, their problems are the answer."""
    script = _Script(_lines(200, 503))
    items = list(_client(module, script).batch(content=b"x"))
    assert [(item["index"], item["status"]) for item in items] == [(0, 200), (1, 503)]
    assert len(waits) == 5


def test_what_is_known_of_missed_images_outlives_the_connection(
    module: dict[str, Any], waits: list[float]
) -> None:
    """Their items are given when the patience ends; the end is told if some have none."""
    for whole in (True, False):
        script = _Script(_lines(200, 503, whole=whole), httpx.ConnectError("refused"))
        items = _client(module, script).batch(content=b"x")
        assert [next(items)["status"] for _ in range(2)] == [200, 503]
        if whole:
            assert list(items) == []
        else:
            with pytest.raises(module["NoAnswer"], match="ConnectError: refused"):
                next(items)
    assert len(waits) == 10


def test_of_files_only_those_without_an_answer_are_sent_again(
    module: dict[str, Any], waits: list[float]
) -> None:
    """Under the numbers they had; what was cut off counts as what was not reached."""
    script = _Script(_lines(503, 200, 503, 200, whole=False), _lines(415, 503, 200), _lines(200))
    files = [("file", (f"{i}.jpg", f"<image {i}>".encode())) for i in range(5)]
    answers = list(_client(module, script).batch(files=files))
    assert [(item["index"], item["status"]) for item in answers] == [
        *((1, 200), (3, 200)),
        *((0, 415), (4, 200)),
        (2, 200),
    ]
    sent = [re.findall(rb"<image (.)>", request.content) for request in script.asked]
    assert sent == [[b"0", b"1", b"2", b"3", b"4"], [b"0", b"2", b"4"], [b"2"]]
    assert len(waits) == 2


def test_files_that_all_have_an_answer_are_not_sent_again(
    module: dict[str, Any], waits: list[float]
) -> None:
    """Also if the stream was cut off behind the last of them."""
    script = _Script(_lines(200, whole=False))
    items = list(_client(module, script).batch(files=[("file", ("a.jpg", b"x"))]))
    assert [item["index"] for item in items] == [0]
    assert (len(script.asked), len(waits)) == (1, 1)


def test_a_line_ends_at_its_end(module: dict[str, Any]) -> None:
    """A file's name may have what some take for the end of a line, and any part may come alone."""
    name = "a\u2028b\u0085c\x0bd.png"
    item = json.dumps({"index": 0, "status": 200, "name": name}, ensure_ascii=False)
    text = f'{item}\n{{"summary": {{}}}}\n'.encode()
    for size in (1, len(text)):
        pieces = (text[i : i + size] for i in range(0, len(text), size))
        script = _Script(httpx.Response(200, content=pieces))
        assert [item["name"] for item in _client(module, script).batch(content=b"x")] == [name]


def test_large_folders_are_sent_in_parts(
    module: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number and by bytes, in order, each file once."""
    client = _client(module, _Script(_lines()))
    paths = [tmp_path / f"{i}.jpg" for i in range(7)]
    for i, path in enumerate(paths):
        path.write_bytes(b"x" * (10 if i < 6 else 1000))
    parts: list[list[str]] = []
    monkeypatch.setitem(module["Client"].folder.__globals__, "BATCH_IMAGES", 4)
    monkeypatch.setitem(module["Client"].folder.__globals__, "BATCH_BYTES", 1000)

    def send(files: Any) -> list[Any]:
        parts.append([Path(name).name for _, (name, _) in files])
        return []

    client.batch = send
    assert list(client.folder(paths)) == []
    assert parts == [["0.jpg", "1.jpg", "2.jpg", "3.jpg"], ["4.jpg", "5.jpg"], ["6.jpg"]]


def test_the_key_may_come_from_the_environment(tmp_path: Path) -> None:
    """CROFT_API_KEY is what --key defaults to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "a.jpg").write_bytes(RED)
        client = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--url", f"http://127.0.0.1:{port}", "classify", "a.jpg"],
            cwd=tmp_path,
            env={**os.environ, "CROFT_API_KEY": "from-the-environment"},
            stdout=subprocess.DEVNULL,
        )
        try:
            connection, _ = server.accept()
            with connection:
                head = connection.recv(4096)
        finally:
            client.kill()
            client.wait()
    assert b"Authorization: Bearer from-the-environment\r\n" in head
