"""What a protocol is: the folders it needs, and the trials it makes of them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import ConfigError, DataError
from training.class_names import listed
from training.protocols.folders import Expected, problems
from training.protocols.source import Source
from training.trial import Trial

SEEDS: Final = (1, 2, 3)
"""The paper's."""

SELECT: Final = 4
"""Images to choose by, of each class (and domain): as many as the published code has in Setup-I."""

_RECIPES: Final = Path(__file__).resolve().parents[1] / "recipes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """What varies in a protocol."""

    seeds: tuple[int, ...]
    """Each a trial, or a trial of each held-out domain."""
    shots: int
    """Training images of each class (and domain)."""
    as_published: bool
    """Whether the published code's mistakes are repeated."""
    sets: frozenset[str]
    """Of the sets that may be left out, those that are not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One of the paper's set-ups."""

    name: str
    """What it is asked for by."""
    summary: str
    """What it does, in a line."""
    shots: tuple[int, ...]
    """The paper's numbers of training images; the first is the default."""
    optional: tuple[str, ...]
    """Sets to judge by that may be left out, by name."""
    expected: Callable[[Path], Sequence[Expected]]
    """The folders below a root; each is named after the set that it holds."""
    draw: Callable[[Source, Draw], Iterator[Trial]]
    """Makes the trials."""

    @property
    def recipe(self) -> Path:
        """The settings of the published code."""
        return _RECIPES / f"{self.name}.toml"

    def missing(self, root: Path, *, without: Collection[str] = ()) -> list[str]:
        """Return what is missing or wrong below the root, a line a folder."""
        needed = [folder for folder in self.expected(root) if folder.name not in without]
        return problems(root, needed)

    def trials(
        self,
        root: Path,
        *,
        seeds: Sequence[int] = SEEDS,
        shots: int | None = None,
        as_published: bool = False,
        without: Collection[str] = (),
    ) -> Iterator[Trial]:
        """Return the trials, each made when it is asked for; folders are checked at once.

        Args:
            root: the folder of data sets.
            seeds: of the draws.
            shots: training images of each class (and domain); None for the paper's.
            as_published: repeat the published code's mistakes as far as images allow.
            without: optional sets to leave out.

        Raises:
            ConfigError: a number below 1 (seeds: below 0), or a set that cannot be left out.
            DataError: folders are missing or wrong: all are named, with what belongs there.
        """
        count = self.shots[0] if shots is None else shots
        if count < 1 or not seeds or min(seeds) < 0:
            raise ConfigError(
                f"A protocol needs at least 1 shot and seeds from 0 on, got {count} and {seeds}."
            )
        if strange := sorted(set(without) - set(self.optional)):
            raise ConfigError(
                f"{self.name} cannot do without {listed(strange)}; what may be left out: "
                f"{', '.join(self.optional)}."
            )
        self._check_folders(root, without)
        draw = Draw(
            seeds=tuple(seeds),
            shots=count,
            as_published=as_published,
            sets=frozenset(self.optional) - set(without),
        )
        return self.draw(Source(root), draw)

    def _check_folders(self, root: Path, without: Collection[str]) -> None:
        wrong = self.missing(root, without=without)
        if not wrong:
            return
        optional = [f for f in self.expected(root) if f.name in self.optional]
        spared = [f.name for f in optional if f.name not in without and f.problem(root)]
        raise DataError(
            "\n  ".join([f"{root}: {self.name} also needs", *wrong])
            + "\nMove or link them there"
            + (f"; or leave them out: --without {','.join(spared)}." if spared else ".")
        )
