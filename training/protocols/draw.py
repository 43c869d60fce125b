"""Which images: at random, by a seed and the images' names, the same on every machine."""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

from training.data import Item
from training.listing import Entry
from training.trial import Trial


def by_class(entry: Entry) -> Hashable:
    """The class, over all domains."""
    return entry.label


def by_class_and_domain(entry: Entry) -> Hashable:
    """The class in its domain."""
    return entry.label, entry.domain


def shuffled(entries: Iterable[Entry], seed: object) -> list[Entry]:
    """Return the entries in the order of a hash of seed, domain, class and file name."""

    def order(entry: Entry) -> bytes:
        key = f"{seed} {entry.domain} {entry.label} {entry.path.name}"
        return hashlib.sha256(key.encode()).digest()

    return sorted(entries, key=order)


def drawn(
    entries: Iterable[Entry],
    count: int,
    *,
    seed: object,
    kind: Callable[[Entry], Hashable] = by_class,
) -> list[Entry]:
    """Return at most ``count`` entries of each kind, all of a kind that has fewer."""
    taken: Counter[Hashable] = Counter()
    found: list[Entry] = []
    for entry in shuffled(entries, seed):
        if taken[kind(entry)] < count:
            taken[kind(entry)] += 1
            found.append(entry)
    return found


def others(entries: Iterable[Entry], chosen: Iterable[Entry]) -> list[Entry]:
    """Return the entries that are not among the chosen."""
    taken = {entry.path for entry in chosen}
    return [entry for entry in entries if entry.path not in taken]


def without_copies(trial: Trial) -> Trial:
    """Return the trial without files that, byte for byte, come earlier in it: trained on, chosen
    by, known, unknown."""
    select = _unlike(trial.select, trial.train)
    known = {name: _unlike(items, trial.train, select) for name, items in trial.known.items()}
    seen = (trial.train, select, *known.values())
    unknown = {name: _unlike(items, *seen) for name, items in trial.unknown.items()}
    return replace(trial, select=select, known=known, unknown=unknown)


def _unlike(items: Sequence[Item], *seen: Sequence[Item]) -> tuple[Item, ...]:
    digests = {item.digest for part in seen for item in part}
    return tuple(item for item in items if item.digest not in digests)
