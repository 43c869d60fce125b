"""Weights come from a tag, a file or nowhere; whatever is missing is explained."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import huggingface_hub.constants
import pytest

from models.errors import BackboneError
from models.nn.weights import find_weights

HUGE = ("ViT-bigG-14", "laion2b_s39b_b160k")  # too large to be cached where tests run


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the hub's cache be an empty folder, and its server one that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    return tmp_path


def put_in_cache(cache: Path, repository: str, name: str) -> Path:
    """Write a file where the hub's client keeps one of that repository."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abc", encoding="utf-8")
    (snapshot / name).write_bytes(b"weights")
    return snapshot / name


def test_random_weights_are_called_random() -> None:
    """Untrained weights need no file and say what they are, in the licence too."""
    weights = find_weights("ViT-B-32", "random")
    assert (weights.path, weights.name, weights.source) == (None, "random", "random")
    assert "random" in weights.licence


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """A path with a known suffix is used whatever the architecture is called."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"")
    weights = find_weights("no-such-architecture", str(path))
    assert (weights.path, weights.name, weights.source) == (path, path.name, f"file {path.name}")
    assert str(tmp_path) not in weights.source


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that does not exist is an error that shows it."""
    path = tmp_path / "absent.pt"
    with pytest.raises(BackboneError, match=re.escape(str(path))):
        find_weights("ViT-B-32", str(path))


@pytest.mark.parametrize("given", ["no_such_tag", None])
def test_an_unknown_tag_lists_the_tags_that_exist(given: str | None, empty_cache: Path) -> None:
    """The message has what was given, the architecture's tags, and what is cached."""
    assert empty_cache.is_dir()
    with pytest.raises(BackboneError, match=r"Its tags: .*laion2b_s34b_b79k.*Cached .*: none\."):
        find_weights("ViT-B-32", given)


def test_an_architecture_without_tags_says_so() -> None:
    """An own configuration has no tags; files and random weights remain."""
    with pytest.raises(BackboneError, match=r"Its tags: none\..*path of a state dict.*`random`"):
        find_weights("my-own", "some_tag")


def test_without_a_connection_the_way_out_is_described(empty_cache: Path) -> None:
    """Weights that cannot be fetched: what, why, what is cached, and the commands that help."""
    put_in_cache(
        empty_cache, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors"
    )
    expected = (
        r"`laion2b_s39b_b160k` of `ViT-bigG-14` are not on this machine.*refused"
        r".*Cached on this machine: ViT-B-32 laion2b_s34b_b79k\. .*`hf download "
        r"laion/CLIP-ViT-bigG-14-laion2B-39B-b160k .*--pretrained path/to/"
    )
    with pytest.raises(BackboneError, match=expected):
        find_weights(*HUGE)


def test_cached_weights_need_no_connection(empty_cache: Path) -> None:
    """What the hub's client has stored is found, with its source and preprocessing."""
    name = "open_clip_pytorch_model.bin"
    path = put_in_cache(empty_cache, "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", name)
    weights = find_weights("ViT-B-16", "laion2b_s34b_b88k")
    assert weights.path == path
    assert weights.source == "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    assert weights.settings["interpolation"] == "bicubic"
    assert "unknown" in weights.licence
