"""How a run is done: every part's settings together, from a TOML file.

Where the parts live: `split` in training.split, `views` in training.views, `tune` in
training.tune, `calibrate` in training.calibrate.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from models.errors import ConfigError
from models.scores import SCORES
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
        """Refuse a score that does not exist."""
        if self.score not in SCORES:
            raise ConfigError(f"`score` must be one of {', '.join(SCORES)}, got {self.score!r}.")


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
    values = {
        name: _build(_PARTS[name], _table(value, where, name), where=f"{where} [{name}]")
        if name in _PARTS and kind is TrainConfig
        else _plain(value)
        for name, value in settings.items()
    }
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except TypeError as error:
        raise ConfigError(f"{where}: a value has the wrong type: {error}.") from error


def _table(value: object, where: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: `{name}` must be a table, got {value!r}.")
    return value


def _plain(value: Any) -> Any:
    """TOML's lists are tuples in a frozen config."""
    return tuple(value) if isinstance(value, list) else value
