"""Which images: at random, by a seed and the images' names, the same on every machine."""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

from training.data import Item
from training.listing import Entry


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


def unlike(items: Sequence[Item], *seen: Sequence[Item]) -> tuple[Item, ...]:
    """Return the items whose bytes are none of those seen."""
    digests = {item.digest for part in seen for item in part}
    return tuple(item for item in items if item.digest not in digests)
