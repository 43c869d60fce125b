"""What a person should know about the data before training on it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.class_names import listed

THIN: Final = 20
"""A class with fewer images trains on fewer than 8 and is reported as thin."""

_ROWS: Final = 30  # classes shown in the table
_FILES: Final = 5  # files shown per finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A file that was left out because it does not decode."""

    path: Path
    """The file."""
    reason: str
    """Why, and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """Identical files with different labels; all of them are left out."""

    labelled: tuple[tuple[Path, str], ...]
    """(file, label) of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReport:
    """Counts and findings; ``lines`` is for people, the fields are for programs."""

    root: Path
    """What paths are shown relative to."""
    counts: Mapping[str, Mapping[str, int]]
    """Usable images by class and domain; the domain is ``""`` in data without domains."""
    empty: tuple[str, ...]
    """Classes that were named but have no usable image."""
    unreadable: tuple[Unreadable, ...]
    """Files that do not decode; left out."""
    duplicates: tuple[tuple[Path, ...], ...]
    """Sets of identical files with one label; each set stays in one part of the split."""
    conflicts: tuple[Conflict, ...]
    """Identical files with different labels; left out."""
    ignored: Mapping[str, int]
    """Files that are no images, by extension."""
    notes: tuple[str, ...]
    """How the source was read, where that may surprise."""

    @property
    def totals(self) -> dict[str, int]:
        """Usable images by class, in index order."""
        return {name: sum(by_domain.values()) for name, by_domain in self.counts.items()}

    @property
    def thin(self) -> tuple[str, ...]:
        """Classes with fewer than ``THIN`` images."""
        return tuple(name for name, images in self.totals.items() if images < THIN)

    @property
    def imbalance(self) -> float:
        """Images of the largest class divided by those of the smallest."""
        return max(self.totals.values()) / min(self.totals.values())

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        return [*self._head(), *self._table(), *self._warnings(), *self._left_out(), *self.notes]

    def _head(self) -> list[str]:
        domains = list(next(iter(self.counts.values())))
        where = f", {len(domains)} domains ({listed(domains)})" if domains != [""] else ""
        images = sum(self.totals.values())
        return [f"{images:,} usable images, {len(self.counts)} classes{where} in {self.root.name}"]

    def _table(self) -> list[str]:
        shown = list(self.counts.items())[:_ROWS]
        domains = [domain for domain in shown[0][1] if domain]
        width = max(len(name) for name in ("class", *(name for name, _ in shown)))
        columns = [(domain, max(6, len(domain))) for domain in domains]
        lines = [f"  {'class':{width}}" + "".join(f"  {d:>{w}}" for d, w in columns) + "   total"]
        for name, by_domain in shown:
            cells = "".join(f"  {by_domain[domain]:>{w}}" for domain, w in columns)
            lines.append(f"  {name:{width}}{cells}  {self.totals[name]:>6}")
        rest = len(self.counts) - len(shown)
        return lines + ([f"  ... and {rest} more classes"] if rest else [])

    def _warnings(self) -> list[str]:
        lines = []
        if self.empty:
            lines.append(f"No usable image of: {listed(self.empty)}.")
        if self.thin:
            thin = [f"{name} ({self.totals[name]})" for name in self.thin]
            lines.append(f"Thin classes, fewer than {THIN} images: {listed(thin)}.")
        if self.imbalance >= 5:
            lines.append(
                f"Imbalance: the largest class has {self.imbalance:.1f} times the images of the "
                "smallest. The promise holds for the mixture as it is."
            )
        return lines

    def _left_out(self) -> list[str]:
        lines = []
        if self.unreadable:
            files = [f"{self._short(bad.path)}: {bad.reason}" for bad in self.unreadable]
            lines += [f"Left out, not decodable: {len(files)}", *_indented(files)]
        if self.conflicts:
            sets = [
                " = ".join(f"{self._short(path)} ({label})" for path, label in conflict.labelled)
                for conflict in self.conflicts
            ]
            lines += [f"Left out, same file under different labels: {len(sets)}", *_indented(sets)]
        if self.duplicates:
            sets = [" = ".join(map(self._short, same)) for same in self.duplicates]
            lines += [f"Identical files, kept together: {len(sets)}", *_indented(sets)]
        if self.ignored:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.ignored.items())
            lines.append(f"Files passed over, no images: {kinds}")
        return lines

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)


def count_images(
    names: Sequence[str], labelled: Iterable[tuple[str, str | None]]
) -> dict[str, dict[str, int]]:
    """Count (label, domain) pairs: every class has every domain, zeros included."""
    counter = Counter((label, domain or "") for label, domain in labelled)
    domains = sorted({domain for _, domain in counter})
    return {name: {domain: counter[name, domain] for domain in domains} for name in names}


def _indented(lines: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(lines) - _FILES} more"] if len(lines) > _FILES else []
    return [f"  {line}" for line in lines[:_FILES]] + more
