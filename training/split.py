"""A data set -> train / select / calibrate / test, disjoint in images, duplicates and groups."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.errors import ConfigError, DataError
from training.class_names import listed
from training.data import Dataset, Item, unit_names
from training.manifest_files import PARTS

_Cell = tuple[str, str | None]  # class and domain

SMALLEST_CLASS: Final = 3
"""Images a class needs: one to train on, one to select with, one to calibrate or test on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How many images go where. A manifest's ``split`` column is obeyed before any of it."""

    shots: int = 16
    """Training images of each class and domain, at most."""
    train_share: float = 0.4
    """The largest share of a class and domain that is trained on."""
    select_share: float = 0.1
    """Share of a class and domain to choose the best step with; never more than ``shots``."""
    test_share: float = 0.2
    """Share of all images kept for the final figures, once calibration has what it needs."""
    calibrate_first: int = 93
    """Calibration images to set aside before any is kept for the test. At alpha = delta = 0.05
    the promise needs 59; with 93 its threshold is the second most unusual score."""
    domains: tuple[str, ...] | None = None
    """Domains to train and calibrate on; images of others are ``shifted``. None: all."""

    def __post_init__(self) -> None:
        """Refuse counts and shares that leave a part without images."""
        for name in ("shots", "calibrate_first"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        for name in ("train_share", "select_share", "test_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must lie in [0, 1), got {getattr(self, name)}.")
        if self.train_share + self.select_share + self.test_share >= 1:
            raise ConfigError(
                "`train_share`, `select_share` and `test_share` must leave images to calibrate "
                f"on; they add up to {self.train_share + self.select_share + self.test_share:g}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTogether:
    """Images that could not be torn apart."""

    groups: int
    """Groups of more than one image."""
    duplicates: int
    """Sets of identical files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Splits:
    """The parts, each in the order of the data set."""

    train: tuple[Item, ...]
    """To tune on."""
    select: tuple[Item, ...]
    """To choose the best step with; may be empty when a manifest says where everything goes."""
    calibrate: tuple[Item, ...]
    """To set the threshold with; nothing else has seen them."""
    test: tuple[Item, ...]
    """For the figures of the report; may be empty in a small data set."""
    shifted: tuple[Item, ...]
    """Of domains neither trained nor calibrated on: the promise does not cover them."""
    kept_together: KeptTogether
    """What held images in one part."""
    left_out: tuple[Item, ...]
    """Shifted images that are a duplicate or in a group of one trained or calibrated on."""

    def counts(self) -> dict[str, int]:
        """Return the number of images of each part."""
        return {name: len(getattr(self, name)) for name in (*PARTS, "shifted")}

    def lines(self) -> list[str]:
        """Return what went where, and what was kept together, for people."""
        parts = ", ".join(f"{images:,} {part}" for part, images in self.counts().items())
        lines = [f"Split: {parts}."]
        if self.kept_together.groups or self.kept_together.duplicates:
            lines.append(
                f"Kept in one part: {self.kept_together.groups:,} groups and "
                f"{self.kept_together.duplicates:,} sets of identical files."
            )
        if self.left_out:
            lines.append(
                f"Left out: {len(self.left_out):,} shifted images, each identical to or in one "
                "group with an image that is trained or calibrated on."
            )
        return lines


@dataclass(frozen=True, slots=True)
class _Unit:
    """Images that go to one part together: connected by a group or by equal bytes."""

    items: tuple[Item, ...]

    @property
    def key(self) -> str:
        return min(item.digest for item in self.items)

    @property
    def labels(self) -> set[str]:
        return {item.label for item in self.items}


@dataclass(slots=True)
class _Plan:
    """Units still free, and those placed."""

    free: list[_Unit]
    placed: dict[str, list[_Unit]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def move(self, part: str, *, fits: Callable[[_Unit], bool]) -> None:
        """Place each free unit that fits, asking in order."""
        taken = {unit.key for unit in self.free if fits(unit)}
        self.placed[part] += [unit for unit in self.free if unit.key in taken]
        self.free = [unit for unit in self.free if unit.key not in taken]

    def items(self, part: str) -> list[Item]:
        """Return the images placed in a part."""
        return [item for unit in self.placed[part] for item in unit.items]


def split(dataset: Dataset, config: SplitConfig, *, seed: int) -> Splits:
    """Split a data set; the same images, config and seed give the same parts on every machine.

    Images are ordered by a hash of seed and content, so neither file names nor the order of files
    matter. What training and selection leave is divided at random between calibration and test,
    so that the two are exchangeable.

    Raises:
        ConfigError: ``config.domains`` names a domain that the data does not have.
        DataError: a class has too few images, or a group is pulled apart by the manifest.
    """
    _check_domains(dataset, config)
    known = tuple(i for i in dataset.items if _is_known(i, config))
    _check_classes(dataset, known)
    plan = _obey_manifest(_units(known), seed=seed)
    _fill_train_and_select(plan, known, config)
    _fill_test(plan, known, config)
    plan.move("calibrate", fits=lambda _: True)
    _check_trained(dataset, plan)
    return _result(dataset, plan, known)


def _is_known(item: Item, config: SplitConfig) -> bool:
    return config.domains is None or item.domain in config.domains


def _check_domains(dataset: Dataset, config: SplitConfig) -> None:
    if unknown := sorted(set(config.domains or ()) - set(dataset.domains)):
        raise ConfigError(
            f"`domains` names {listed(unknown)}; the data has: {listed(dataset.domains)}."
        )


def _check_classes(dataset: Dataset, known: Sequence[Item]) -> None:
    counts = Counter(item.label for item in known)
    few = [spec.name for spec in dataset.classes if counts[spec.name] < SMALLEST_CLASS]
    if few:
        having = [f"{name} ({counts[name]})" for name in few]
        raise DataError(
            f"Each class needs at least {SMALLEST_CLASS} usable images in the domains trained on; "
            f"fewer have: {listed(having)}. Add images, or leave these classes out."
        )
    if len(dataset.classes) < 2:
        raise DataError(f"At least two classes are needed, got {dataset.classes[0].name} alone.")


def _units(items: Sequence[Item]) -> list[_Unit]:
    joined: dict[str, list[Item]] = {}
    for name, item in zip(unit_names(items), items, strict=True):
        joined.setdefault(name, []).append(item)
    return [_Unit(tuple(members)) for members in joined.values()]


def _obey_manifest(units: Sequence[_Unit], *, seed: int) -> _Plan:
    """Place what the manifest places; a unit goes where any of its images is said to go."""

    def order(unit: _Unit) -> bytes:
        return hashlib.sha256(f"{seed} {unit.key}".encode()).digest()

    plan = _Plan(free=[])
    for unit in sorted(units, key=order):
        parts = sorted({item.split for item in unit.items if item.split is not None})
        if len(parts) > 1:
            files = [str(item.path) for item in unit.items]
            raise DataError(
                f"The manifest puts images of one group, or identical files, into "
                f"{' and '.join(parts)}: {listed(files, limit=5)}. Put them into one part."
            )
        (plan.placed[parts[0]] if parts else plan.free).append(unit)
    return plan


def _cells(items: Iterable[Item]) -> Counter[_Cell]:
    return Counter((item.label, item.domain) for item in items)


def _fill_train_and_select(plan: _Plan, known: Sequence[Item], config: SplitConfig) -> None:
    size = _cells(known)
    for part, share in (("train", config.train_share), ("select", config.select_share)):
        rounded = math.floor if part == "train" else round
        quota = Counter({cell: min(config.shots, rounded(share * n)) for cell, n in size.items()})
        quota.subtract(_cells(plan.items(part)))
        plan.move(part, fits=_within(quota))
        if share > 0:
            _give_each_class_one(plan, part)


def _within(quota: Counter[_Cell]) -> Callable[[_Unit], bool]:
    """Return a test whether a unit still fits into every cell it touches; it uses them up."""

    def fits(unit: _Unit) -> bool:
        needed = _cells(unit.items)
        room = all(quota[cell] >= n for cell, n in needed.items())
        if room:
            quota.subtract(needed)
        return room

    return fits


def _give_each_class_one(plan: _Plan, part: str) -> None:
    """Place the smallest unit of a class whose units are all too large, if another one stays."""
    served = {item.label for item in plan.items(part)}
    chosen: set[str] = set()
    for label in {label for unit in plan.free for label in unit.labels} - served:
        units = [unit for unit in plan.free if label in unit.labels]
        if len(units) > 1:
            chosen.add(min(units, key=lambda unit: len(unit.items)).key)
    plan.move(part, fits=lambda unit: unit.key in chosen)


def _fill_test(plan: _Plan, known: Sequence[Item], config: SplitConfig) -> None:
    left = sum(len(unit.items) for unit in plan.free)
    reserved = max(0, config.calibrate_first - len(plan.items("calibrate")))
    wanted = round(config.test_share * len(known)) - len(plan.items("test"))
    room = min(wanted, left - reserved)

    def fits(unit: _Unit) -> bool:
        nonlocal room
        fitting = len(unit.items) <= room
        room -= len(unit.items) if fitting else 0
        return fitting

    plan.move("test", fits=fits)


def _check_trained(dataset: Dataset, plan: _Plan) -> None:
    trained = {item.label for item in plan.items("train")}
    if missing := [spec.name for spec in dataset.classes if spec.name not in trained]:
        raise DataError(
            f"No image is left to train on for: {listed(missing)}. All images of such a class are "
            "one group or identical, or the manifest puts them elsewhere."
        )


def _result(dataset: Dataset, plan: _Plan, known: Sequence[Item]) -> Splits:
    part_of = {item.path: part for part in PARTS for item in plan.items(part)}
    chosen = {item.path for item in known}
    seen = {path for path, part in part_of.items() if part != "test"}
    touched = {
        item.path
        for unit in _units(dataset.items)
        if any(item.path in seen for item in unit.items)
        for item in unit.items
    }
    others = [item for item in dataset.items if item.path not in chosen]
    return Splits(
        **{part: tuple(i for i in known if part_of[i.path] == part) for part in PARTS},
        shifted=tuple(item for item in others if item.path not in touched),
        left_out=tuple(item for item in others if item.path in touched),
        kept_together=KeptTogether(
            groups=_repeated(item.group for item in known if item.group is not None),
            duplicates=_repeated(item.digest for item in known),
        ),
    )


def _repeated(keys: Iterable[str]) -> int:
    return sum(count > 1 for count in Counter(keys).values())
