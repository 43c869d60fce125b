"""What docs/http-api.md says is what the service does."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.errors import INTERNAL, TABLE
from service.keys import new_key
from service.metrics import Metrics
from service.rules import RULES
from tests.bundles import colour_image, tiny_bundle
from tests.service.processes import Served, served
from tests.service.test_archive import zip_of

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "http-api.md").read_text()
NEVER_SENT = "client-gone"


def test_every_problem_type_is_documented() -> None:
    """The table of errors has each status and type, and no other."""
    rows = re.findall(r"^\| (\d{3}) \| (`[^|]+`) \|", TEXT, re.MULTILINE)
    documented = {(int(s), slug) for s, slugs in rows for slug in re.findall("`([^`]+)`", slugs)}
    real = {(row.status, row.slug) for row in (*TABLE.values(), INTERNAL)}
    assert documented == {row for row in real if row[1] != NEVER_SENT}


def test_every_metric_is_documented() -> None:
    """The table of metrics has each name with its labels."""
    documented = {
        name: tuple(re.findall("`([^`]+)`", labels))
        for names, labels in re.findall(r"^\| (`croft_[^|]+) \|([^|]*)\|", TEXT, re.MULTILINE)
        for name in re.findall("`([^`]+)`", names)
    }
    registry = Metrics().registry
    real = {
        name.removesuffix("_total"): collector._labelnames  # type: ignore[attr-defined]
        for collector, names in registry._collector_to_names.items()
        for name in names[:1]
        if name.startswith("croft_")
    }
    assert {name.removesuffix("_total"): labels for name, labels in documented.items()} == real


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a bundle named as in the document, for all tests of this module."""
    folder = tmp_path_factory.mktemp("docs")
    with served(tiny_bundle(folder / "b", name="toybox"), folder / "log") as running:
        yield running


def _commands(section: str) -> list[str]:
    (text,) = re.findall(rf"^## {section}\n(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    (block,) = re.findall(r"```sh\n(curl.*?)```", text, re.DOTALL)
    return [str(line) for line in block.splitlines()]


@pytest.mark.parametrize("command", _commands("Classify"))
def test_the_commands_of_the_document_work(service: Served, tmp_path: Path, command: str) -> None:
    """Each line, run by a shell beside a photo.jpg, prints an answer."""
    (tmp_path / "photo.jpg").write_bytes(colour_image("blue"))
    line = command.replace("http://127.0.0.1:8000", service.url)
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    answer = httpx.Response(200, text=done.stdout).json()
    assert (answer["label"], answer["bundle"]) == ("blue", "toybox@1")
    if "top_k=3" in shlex.split(line)[-1]:
        assert len(answer["candidates"]) == 3


@pytest.mark.parametrize("command", _commands("Keys"))
def test_the_commands_with_a_key_work(
    guarded: tuple[Served, str], tmp_path: Path, command: str
) -> None:
    """With the key they print an answer, with another one the problem."""
    service, key = guarded
    (tmp_path / "photo.jpg").write_bytes(colour_image("blue"))
    line = command.replace("http://127.0.0.1:8000", service.url)
    for given, member, value in ((key, "label", "blue"), ("croft_no", "status", 401)):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=os.environ | {"KEY": given},
            capture_output=True,
            check=True,
        )
        assert json.loads(done.stdout)[member] == value


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """Serve with keys, and return one of them."""
    folder = tmp_path_factory.mktemp("keys")
    text, key = new_key("reader", "classify")
    (folder / "keys.txt").write_text(key.line)
    with served(
        tiny_bundle(folder / "b"), folder / "log", keys_file=str(folder / "keys.txt")
    ) as running:
        yield running, text


def test_the_rules_of_the_document_are_the_rules() -> None:
    """What the table calls open is what the rules leave open, and nothing else."""
    (row,) = re.findall(r"^\| none \| (.*) \|$", TEXT, re.MULTILINE)
    named = {path.replace("...", "*") for path in re.findall("`([^`]+)`", row.split(". ")[0])}
    assert named == {rule.path for rule in RULES if rule.scope is None}


@pytest.mark.parametrize("command", _commands("Batch"))
def test_the_batch_commands_of_the_document_work(
    service: Served, tmp_path: Path, command: str
) -> None:
    """Each line, run beside two photos and a zip file of them, answers for each in its place."""
    photos = {"photo.jpg": colour_image("blue"), "other.jpg": colour_image("white")}
    for name, data in photos.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "photos.zip").write_bytes(zip_of(*photos.items()))
    line = command.replace("http://127.0.0.1:8000", service.url)
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    texts = [httpx.Response(200, text=text).json() for text in done.stdout.splitlines()]
    items = texts[0]["items"] if "items" in texts[0] else texts[:-1]
    counts = texts[0]["counts"] if "items" in texts[0] else texts[-1]["summary"]
    first, *others = sorted(items, key=lambda item: item["index"])
    assert (first["status"], first["label"]) == (200, "blue")
    assert first["name"] == ("7" if "--json" in line else "photo.jpg")
    assert [item["rejected"] for item in others] == ([] if "--json" in line else [True])
    assert counts["images"] == len(items)
    assert len(first["candidates"]) == (1 if "top_k=1" in line else 3)
