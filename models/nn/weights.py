"""Where a backbone's weights come from: a tag of open_clip, a file, or nowhere (random)."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import huggingface_hub
import open_clip
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from models.errors import BackboneError

RANDOM: Final = "random"
"""In place of a tag: untrained weights, for measuring time and memory."""

SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin")
"""Files that hold a state dict."""

_URL_CACHE: Final = Path("~/.cache/clip")  # where open_clip keeps what is not on the hub


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A file of weights and what is known about it."""

    path: Path | None
    """The state dict; None for random weights."""
    name: str
    """The tag, the file's name, or ``random``."""
    licence: str
    """Of the weights, where known."""
    source: str
    """Where they came from."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the tag says about preprocessing and activation."""


def find_weights(architecture: str, pretrained: str | None) -> Weights:
    """Return the weights of an architecture, downloading those of a tag unless they are cached.

    Args:
        architecture: a name known to open_clip, or any other for a file or random weights.
        pretrained: a tag, the path of a state dict, or ``random``.

    Raises:
        BackboneError: neither a tag nor a file, or a tag's weights cannot be fetched. Says which
            tags exist, what is cached here, and what to do.
    """
    if pretrained == RANDOM:
        return Weights(path=None, name=RANDOM, licence="none: random weights", source=RANDOM)
    if pretrained is not None and Path(pretrained).suffix in SUFFIXES:
        return _from_file(Path(pretrained))
    settings = open_clip.get_pretrained_cfg(architecture, pretrained) if pretrained else {}
    if not settings:
        raise BackboneError(_unknown_tag(architecture, pretrained))
    source = _repository(settings) or settings["url"]
    return Weights(
        path=_cached(settings) or _fetch(architecture, str(pretrained), settings),
        name=str(pretrained),
        licence=settings.get("license", f"unknown: see the weights' publisher ({source})"),
        source=source,
        settings=settings,
    )


def _from_file(path: Path) -> Weights:
    if not path.is_file():
        raise BackboneError(f"No file of weights at {path}: give the path of a state dict.")
    return Weights(
        path=path,
        name=path.name,
        licence="unknown: see the weights' publisher",
        source=f"file {path.name}",
    )


def _unknown_tag(architecture: str, pretrained: str | None) -> str:
    given = f"no weights `{pretrained}`" if pretrained else "no weights of its own"
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    return (
        f"`{architecture}` has {given}. Its tags: {', '.join(tags) or 'none'}. {_cached_list()} "
        f"Give one of its tags, the path of a state dict ({', '.join(SUFFIXES)}), or `{RANDOM}`."
    )


def _cached_list() -> str:
    """Return a sentence that names the tags whose weights are on this machine."""
    found = [
        f"{architecture} {tag}"
        for architecture, tag in open_clip.list_pretrained()
        if _cached(open_clip.get_pretrained_cfg(architecture, tag))
    ]
    return f"Cached on this machine: {', '.join(found) or 'none'}."


def _repository(settings: Mapping[str, Any]) -> str:
    """Return the hub's repository, or nothing for weights that have only a URL."""
    return str(PurePosixPath(_split(settings)[0])) if settings.get("hf_hub") else ""


def _split(settings: Mapping[str, Any]) -> tuple[str, str]:
    """Split ``org/model/file``, where the file may be left out."""
    repository, _, name = settings["hf_hub"].rpartition("/")
    return repository, name


def _file_names(settings: Mapping[str, Any]) -> list[str]:
    """Return what the file may be called on the hub, the safest format first."""
    name = _split(settings)[1]
    if not name:
        return [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    return list(dict.fromkeys([str(PurePosixPath(name).with_suffix(".safetensors")), name]))


def _cached(settings: Mapping[str, Any]) -> Path | None:
    if not settings.get("hf_hub"):
        path = _URL_CACHE.expanduser() / PurePosixPath(settings["url"]).name
        return path if path.is_file() else None
    for name in _file_names(settings):
        found = huggingface_hub.try_to_load_from_cache(_repository(settings), name)
        if isinstance(found, str):
            return Path(found)
    return None


def _fetch(architecture: str, tag: str, settings: Mapping[str, Any]) -> Path:
    try:
        _reach(huggingface_hub.constants.ENDPOINT if settings.get("hf_hub") else settings["url"])
        return Path(open_clip.download_pretrained(dict(settings)))
    except (OSError, RuntimeError, ValueError) as error:
        raise BackboneError(_not_fetched(architecture, tag, settings, error)) from error


def _reach(url: str) -> None:
    """Fail at once when there is no connection: the hub's client retries for a minute."""
    request = urllib.request.Request(url, method="HEAD")
    with suppress(urllib.error.HTTPError):  # an answer, whichever
        urllib.request.urlopen(request, timeout=10).close()


def _not_fetched(architecture: str, tag: str, settings: Mapping[str, Any], error: Exception) -> str:
    if settings.get("hf_hub"):
        names = _file_names(settings)
        command = f"`hf download {_repository(settings)} {names[0]}` (or {names[-1]})"
        copy = names[0]
    else:
        command, copy = f"download {settings['url']}", PurePosixPath(settings["url"]).name
    return (
        f"The weights `{tag}` of `{architecture}` are not on this machine and could not be "
        f"fetched: {error}. {_cached_list()} On a machine with a connection: {command}; copy the "
        f"file here and pass its path in place of the tag: --pretrained path/to/{copy}."
    )
