"""How a run is done: every part's settings together, from a TOML file.

Where the parts live: `split` in training.split, `views` in training.views, `tune` in
training.tune, `calibrate` in training.calibrate.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from models.errors import ConfigError
from models.scores import check_score
from training.calibrate import CalibrateConfig
from training.split import SplitConfig
from training.tune import TuneConfig
from training.views import ViewConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """All settings of a run."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """Who trains, selects, calibrates, tests."""
    views: ViewConfig = field(default_factory=ViewConfig)
    """Augmented views of the training images."""
    tune: TuneConfig = field(default_factory=TuneConfig)
    """What is tuned, and how."""
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig)
    """What is promised."""
    score: str = "energy"
    """The score that decides."""
    golden_images: int = 6
    """How many images travel with the bundle for the service's self-test; 0 for none."""
    keep_embeddings: bool = True
    """Whether the calibration images' embeddings travel with the bundle."""
    seed: int = 0
    """Of splits, views and tuning."""

    def __post_init__(self) -> None:
        """Refuse a score that does not exist, and counts below zero."""
        check_score(self.score)
        for name in ("golden_images", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` must be at least 0, got {getattr(self, name)}.")


_PARTS: Final[dict[str, type]] = {
    "split": SplitConfig,
    "views": ViewConfig,
    "tune": TuneConfig,
    "calibrate": CalibrateConfig,
}
_OTHER_TABLES: Final = ("demo",)
"""Tables of a recipe that are read elsewhere."""


def load_recipe(path: Path) -> TrainConfig:
    """Read a recipe.

    Raises:
        ConfigError: not readable, not TOML, or an unknown or impossible setting, by its name.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a recipe that can be read: {error}.") from error
    settings = {name: value for name, value in tables.items() if name not in _OTHER_TABLES}
    config: TrainConfig = _build(TrainConfig, settings, where=str(path))
    return config


def as_tables(config: TrainConfig) -> dict[str, Any]:
    """Return the resolved settings as a bundle stores them: JSON has lists, not tuples."""
    tables: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return tables


def _build(kind: type, settings: Mapping[str, Any], *, where: str) -> Any:
    allowed = [f.name for f in fields(kind)]
    for name in settings:
        if name not in allowed:
            raise ConfigError(f"{where}: no setting `{name}`; there are {', '.join(allowed)}.")
    types = get_type_hints(kind)
    values = {
        name: _build(_PARTS[name], _table(value, where, name), where=f"{where} [{name}]")
        if name in _PARTS and kind is TrainConfig
        else _plain(value, types[name], where=f"{where}: `{name}`")
        for name, value in settings.items()
    }
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _table(value: object, where: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: `{name}` must be a table, got {value!r}.")
    return value


def _plain(value: Any, wanted: Any, *, where: str) -> Any:
    """TOML's lists are tuples in a frozen config; a whole number is a fraction too."""
    given = tuple(value) if isinstance(value, list) else value
    if not _is_a(given, wanted):
        kind = wanted.__name__ if isinstance(wanted, type) else str(wanted)
        raise ConfigError(f"{where} has the wrong type: it must be {kind}, got {value!r}.")
    return given


def _is_a(value: Any, wanted: Any) -> bool:
    """Tell whether a value is of an annotated type, as far as settings need types."""
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return isinstance(value, str)  # which strings is the config's own check
    if origin is UnionType:
        return any(_is_a(value, part) for part in parts)
    if origin is tuple:
        items = parts[:1] * len(value) if parts[-1] is ... and isinstance(value, tuple) else parts
        return (
            isinstance(value, tuple)
            and len(value) == len(items)
            and all(_is_a(v, part) for v, part in zip(value, items, strict=True))
        )
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is wanted
