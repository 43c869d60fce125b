"""Names that are no class, for the score that compares with them: read, cleared, put into prompts.

Jiang et al., Negative Label Guided OOD Detection with Pretrained Vision-Language Models, ICLR 2024.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigError
from training.class_names import ClassSpec, default_spec, listed, name_key


def read_names(path: Path) -> tuple[str, ...]:
    """Read one name a line; blank lines and lines that begin with ``#`` are passed over.

    Names that differ by case, separators or a plural are one: the first is kept.

    Raises:
        ConfigError: not readable, not UTF-8, or without a name.
    """
    try:
        data = path.read_bytes()
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except OSError as error:
        raise ConfigError(f"{path}: the negative names cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        at = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {at} is not UTF-8. Save the names as UTF-8.") from error
    named: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith("#"):
            named.setdefault(name_key(line), line)
    if not named:
        raise ConfigError(f"{path}: no negative name there. Write one a line.")
    return tuple(named.values())


def without_classes(
    names: Sequence[str], classes: Sequence[ClassSpec]
) -> tuple[tuple[str, ...], list[str]]:
    """Leave out the names of classes, which would make the classes' own images look unusual.

    Returns:
        names: the others.
        notes: what was left out, for people.

    Raises:
        ConfigError: no other name is left.
    """
    taken = {name_key(name) for spec in classes for name in (spec.name, spec.display_name)}
    kept = tuple(name for name in names if name_key(name) not in taken)
    dropped = [name for name in names if name_key(name) in taken]
    if not kept:
        raise ConfigError(
            f"Every negative name is a class: {listed(dropped)}. Give names of anything else."
        )
    note = f"{len(dropped)} of {len(names)} negative names are classes, and left out"
    return kept, [f"{note}: {listed(dropped)}."] if dropped else []


def prompts_like(classes: Sequence[ClassSpec], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return each name as people read it, with its prompts.

    They are worded as those of most classes are, the name in place of the class's; where no
    wording is most classes', as a class without prompts of its own.
    """
    frames = _common_frames(classes)
    specs = [default_spec(name) for name in names]
    return {
        spec.display_name: tuple(f"{before}{spec.display_name}{after}" for before, after in frames)
        or spec.prompts
        for spec in specs
    }


def _common_frames(classes: Sequence[ClassSpec]) -> list[tuple[str, str]]:
    """Return what more than half of the classes have around their name, in a fixed order."""
    counts = Counter(frame for spec in classes for frame in dict.fromkeys(_frames(spec)))
    return [frame for frame, count in counts.items() if 2 * count > len(classes)]


def _frames(spec: ClassSpec) -> list[tuple[str, str]]:
    parts = [prompt.rpartition(spec.display_name) for prompt in spec.prompts]
    return [(before, after) for before, name, after in parts if name]
