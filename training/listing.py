"""What a data source names, before any image was read."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One image as the source names it."""

    path: Path
    """Where the file is."""
    label: str
    """The class."""
    domain: str | None = None
    """The style or source the image comes from, such as photo or sketch."""
    split: str | None = None
    """The part of the split it is meant for, where the source says so."""
    group: str | None = None
    """Images that show the same thing share a group and are never torn apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """All images of a source, and what was passed over."""

    root: Path
    """What paths are shown relative to."""
    entries: tuple[Entry, ...]
    """Sorted by path."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Files passed over, by extension (or ``hidden``)."""
    empty: tuple[str, ...] = ()
    """Class folders without an image."""
    notes: tuple[str, ...] = ()
    """What the reader of the source should know about how it was read."""
