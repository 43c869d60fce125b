"""What the classes are called: their order, how people read them, and their prompts."""

import re
import tomllib
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import ConfigError, DataError

_FIELDS: Final = ("name", "display_name", "prompts")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSpec:
    """One class. Its index is its place in the order."""

    name: str
    """Identity: the folder's name, or the label in a manifest."""
    display_name: str
    """What people read."""
    prompts: tuple[str, ...]
    """What the text encoder reads; several are averaged."""

    def __post_init__(self) -> None:
        """Refuse a class that could not be shown or encoded."""
        if not (self.name.strip() and self.display_name.strip()):
            raise ConfigError(f"A class needs a name and a display name, got {self}.")
        if not self.prompts or not all(prompt.strip() for prompt in self.prompts):
            raise ConfigError(
                f"Class `{self.name}`: `prompts` must hold at least one text and no empty one, "
                f"got {list(self.prompts)}."
            )


def default_spec(name: str) -> ClassSpec:
    """Return the class with ``_`` and ``-`` read as spaces and the one usual prompt."""
    return _spec(name, display_name=_readable(name))


def read_classes(path: Path) -> tuple[ClassSpec, ...]:
    """Read a ``classes.toml``: ``[[class]]`` tables whose order is the index.

    Raises:
        ConfigError: absent, not TOML, or an entry is wrong; names the file and the entry.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the file of classes cannot be read: {error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}.") from error
    tables = document.get("class")
    if set(document) != {"class"} or not isinstance(tables, list) or not tables:
        raise ConfigError(
            f"{path}: must hold [[class]] tables and nothing else, found {sorted(document)}."
        )
    specs = tuple(_read_class(table, f"{path}: class {i}") for i, table in enumerate(tables))
    _check_distinct([spec.name for spec in specs], str(path))
    return specs


def resolve_classes(present: Collection[str], *, path: Path | None) -> tuple[ClassSpec, ...]:
    """Return the classes in index order: the file's, or without a file sorted by name.

    Raises:
        ConfigError: what ``read_classes`` raises.
        DataError: the file and the data do not name the same classes.
    """
    if path is None:
        return tuple(default_spec(name) for name in sorted(present))
    specs = read_classes(path)
    named = {spec.name for spec in specs}
    unnamed, without_images = sorted(set(present) - named), sorted(named - set(present))
    if unnamed or without_images:
        raise DataError(
            f"{path} and the data must name the same classes. In the data only: "
            f"{listed(unnamed)}. In the file only (no usable image): {listed(without_images)}. "
            "Add the missing [[class]] tables or images."
        )
    return specs


def overlapping_names(known: Sequence[str], unknown: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs (known, unknown) that seem to be one class, in the order of ``known``.

    Case, ``_``, ``-``, spaces and simple English plurals are disregarded: an "unknown" image of
    such a class is no unknown, and a score that accepts it is counted as wrong.
    """
    by_key: dict[str, list[str]] = {}
    for name in unknown:
        by_key.setdefault(name_key(name), []).append(name)
    return [(name, other) for name in known for other in by_key.get(name_key(name), [])]


def listed(names: Collection[str], *, limit: int = 10) -> str:
    """Return names joined for a message, cut off after ``limit``; "none" when there are none."""
    shown = ", ".join(list(names)[:limit]) or "none"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _readable(name: str) -> str:
    return re.sub(r"[_\-\s]+", " ", name).strip() or name


def _spec(name: str, *, display_name: str, prompts: tuple[str, ...] | None = None) -> ClassSpec:
    usual = (f"a photo of a {display_name}.",)
    return ClassSpec(
        name=name, display_name=display_name, prompts=usual if prompts is None else prompts
    )


def _read_class(table: object, where: str) -> ClassSpec:
    if not isinstance(table, dict) or not set(table) <= set(_FIELDS) or "name" not in table:
        found = sorted(table) if isinstance(table, dict) else type(table).__name__
        raise ConfigError(
            f"{where}: a [[class]] has `name` and, if you like, `display_name` and `prompts`; "
            f"found {found}."
        )
    name, prompts = table["name"], table.get("prompts")
    display_name = table.get("display_name", _readable(str(name)))
    if not isinstance(name, str) or not isinstance(display_name, str):
        raise ConfigError(f"{where}: `name` and `display_name` must be text, got {table}.")
    if prompts is not None and not (
        isinstance(prompts, list) and all(isinstance(prompt, str) for prompt in prompts)
    ):
        raise ConfigError(f"{where} ({name}): `prompts` must be a list of texts, got {prompts!r}.")
    return _spec(
        name, display_name=display_name, prompts=None if prompts is None else tuple(prompts)
    )


def _check_distinct(names: Sequence[str], where: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"{where}: each class may be named once; doubled: {listed(doubled)}.")


def name_key(name: str) -> str:
    """Return what names of one class have in common: no case, separators or simple plurals."""
    folded = re.sub(r"[_\-\s]+", "", unicodedata.normalize("NFKC", name).casefold())
    for ending, singular in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if folded.endswith(ending) and len(folded) > len(ending) + 1:
            return folded.removesuffix(ending) + singular
    plural = folded.endswith("s") and not folded.endswith(("ss", "us", "is")) and len(folded) > 3
    return folded[:-1] if plural else folded
