"""Setup-II: one domain of PACS or VLCS is held out, all others are trained on.

What the published code does, and is done here only on request (`as_published`):

- for PACS, a third of the shots of each domain is drawn once for each class, but from the images of
  all classes: 105 images for 16 shots, none of which need be of a given class, and some of which
  may be drawn twice. For VLCS it draws the shots of a class from all domains together. Here each
  class has its shots in each domain;
- detection is judged on at most 500 images a class of the held-out domain, accuracy on all: here
  both on all;
- what it calls unknown overlaps with what is known, and lacks much that is not: open_sets.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from training.class_names import default_spec
from training.data import Item
from training.listing import Entry
from training.protocols.draw import by_class_and_domain, drawn, others, without_copies
from training.protocols.folders import Expected
from training.protocols.open_sets import FOLDERS, Overlap, say_incomplete, unknown_sets
from training.protocols.protocol import SELECT, Draw, Protocol
from training.protocols.source import Source
from training.trial import Trial

PUBLISHED_SELECT: Final = 16
"""Images of a class to choose the epoch by, over all domains."""
PUBLISHED_JUDGED: Final = 500
"""Images of a class of the held-out domain to judge detection by, at most."""


def over_all_domains(pool: list[Entry], shots: int, seed: int) -> list[Entry]:
    """Return the shots of each class, from whichever domains."""
    return drawn(pool, shots, seed=seed)


def whatever_class(pool: list[Entry], shots: int, seed: int) -> list[Entry]:
    """Return, once for each class, a third of the shots of each domain, of whatever class; four
    shots and fewer are drawn of each class."""
    if shots <= 4:
        return drawn(pool, shots, seed=seed)
    domains = sorted({entry.domain for entry in pool if entry.domain is not None})
    found: list[Entry] = []
    for label in sorted({entry.label for entry in pool}):
        found += drawn(
            pool, shots // len(domains), seed=f"{seed} {label}", kind=lambda entry: entry.domain
        )
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Domains:
    """A data set of several domains."""

    folder: str
    """Below the root."""
    domains: tuple[str, ...]
    """Its folders."""
    classes: tuple[str, ...]
    """The folders of each domain."""
    parts: tuple[tuple[str, ...], ...] = ()
    """Folders that may stand between the two."""
    published_shots: Callable[[list[Entry], int, int], list[Entry]]
    """How the published code draws training images: from pool, shots and seed."""
    overlap: Overlap
    """What of Caltech-101 is not unknown."""


def expected(data: Domains, _: Path) -> list[Expected]:
    """Return the folders below a root."""
    return [*(_folder(data, domain) for domain in data.domains), *FOLDERS]


def trials(data: Domains, source: Source, draw: Draw) -> Iterator[Trial]:
    """Yield a trial for each seed and held-out domain."""
    say_incomplete(source, draw)
    for seed in draw.seeds:
        unknown = unknown_sets(source, draw, seed, data.overlap)
        for domain in data.domains:
            yield _trial(data, source, draw, seed, domain, unknown)


def _folder(data: Domains, domain: str) -> Expected:
    return Expected(
        name=domain,
        path=f"{data.folder}/{domain}",
        what=f"{data.folder}'s {domain}, folders {', '.join(data.classes)}",
        classes=data.classes,
        parts=data.parts,
    )


def _entries(data: Domains, source: Source, domain: str) -> list[Entry]:
    folder = _folder(data, domain)
    return [e for name in data.classes for e in source.entries(folder, name, domain=domain)]


def _trial(
    data: Domains,
    source: Source,
    draw: Draw,
    seed: int,
    held_out: str,
    unknown: dict[str, tuple[Item, ...]],
) -> Trial:
    pool = [e for d in data.domains if d != held_out for e in _entries(data, source, d)]
    if draw.as_published:
        train, select = _published_training(data, draw, seed, pool)
    else:
        train, select = _training(draw, seed, pool)
    target = _entries(data, source, held_out)
    known = {held_out: source.read(target)}
    if draw.as_published:
        judged = drawn(target, PUBLISHED_JUDGED, seed=seed)
        known[f"{held_out}, at most {PUBLISHED_JUDGED} a class"] = source.read(judged)
    trial = Trial(
        name=held_out,
        seed=seed,
        classes=tuple(default_spec(name) for name in data.classes),
        train=source.read(train),
        select=source.read(select),
        known=known,
        unknown=unknown,
    )
    return trial if draw.as_published else without_copies(trial)


def _training(draw: Draw, seed: int, pool: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return what to train on and what to choose by."""
    train = drawn(pool, draw.shots, seed=seed, kind=by_class_and_domain)
    left = others(pool, train)
    return train, drawn(left, SELECT, seed=seed, kind=by_class_and_domain)


def _published_training(
    data: Domains, draw: Draw, seed: int, pool: list[Entry]
) -> tuple[list[Entry], list[Entry]]:
    select = drawn(pool, PUBLISHED_SELECT, seed=f"select {seed}")
    return data.published_shots(others(pool, select), draw.shots, seed), select


PACS: Final = Domains(
    folder="PACS",
    domains=("art_painting", "cartoon", "photo", "sketch"),
    classes=("dog", "elephant", "giraffe", "guitar", "horse", "house", "person"),
    published_shots=whatever_class,
    overlap=Overlap(
        because={
            "anything may be on them": ("BACKGROUND_Google",),
            "dog": ("dalmatian", "snoopy"),
            "elephant": ("elephant",),
            "guitar": ("electric_guitar",),
            "person: all photos of persons in PACS are such faces": ("Faces", "Faces_easy"),
            "person, painted or carved": ("buddha",),
            "house, perhaps": ("minaret", "pagoda"),
        },
        published=frozenset({"dalmatian", "electric_guitar", "elephant", "snoopy"}),
    ),
)

_BIRDS: Final = ("emu", "flamingo", "flamingo_head", "ibis", "pigeon")
_CHAIRS: Final = ("chair", "wheelchair", "windsor_chair")

VLCS: Final = Domains(
    folder="VLCS",
    domains=("CALTECH", "LABELME", "PASCAL", "SUN"),
    classes=("bird", "car", "chair", "dog", "person"),
    parts=(("full",), ("train", "test")),
    published_shots=over_all_domains,
    overlap=Overlap(
        because={
            "anything may be on them": ("BACKGROUND_Google",),
            "bird": (*_BIRDS, "rooster"),
            "car": ("car_side",),
            "chair": _CHAIRS,
            "dog": ("dalmatian", "snoopy"),
            "person": ("Faces", "Faces_easy"),
        },
        published=frozenset({*_BIRDS, *_CHAIRS, "car_side", "dalmatian", "snoopy", "wild_cat"}),
    ),
)


def _protocol(name: str, data: Domains) -> Protocol:
    return Protocol(
        name=name,
        summary=f"{data.folder}: each domain held out; DTD, Food-101, Caltech-101 unknown",
        shots=(16,),
        optional=tuple(folder.name for folder in FOLDERS),
        expected=partial(expected, data),
        draw=partial(trials, data),
    )


SETUP_2_PACS: Final = _protocol("setup2-pacs", PACS)
"""The paper's Setup-II on PACS."""
SETUP_2_VLCS: Final = _protocol("setup2-vlcs", VLCS)
"""The paper's Setup-II on VLCS."""
