"""What can truly be said of a Toybox image, as text for contrastive pretraining.

A caption claims some facts (always the object, often the style, sometimes the colours), so a batch
can tell which of its captions are true of which of its images.

Axes: N images, F = 4 facts (object, style, colour, background).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.errors import ConfigError
from training.toybox import palette
from training.toybox.images import EXTRA, KNOWN, STYLES

OBJECTS: tuple[str, ...] = (*KNOWN, *EXTRA)
"""Every object that pretraining may show and name; none of the unknown ones."""
ALIASES: dict[str, tuple[str, ...]] = {
    "mug": ("cup", "beaker"),
    "teapot": ("kettle", "pot"),
    "chair": ("seat", "stool"),
    "lamp": ("light", "lantern"),
    "key": ("latchkey", "passkey"),
    "scissors": ("shears", "cutters"),
    "clock": ("timepiece", "timer"),
    "boat": ("ship", "yacht"),
    "car": ("automobile", "vehicle"),
    "house": ("home", "cottage"),
    "fish": ("trout", "herring"),
    "tree": ("oak", "maple"),
}
"""What captions mostly call the known objects."""
UNSAID = -1
"""Stands for a fact that a caption does not mention."""

Facts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How well captions name the known objects, as shares of captions.

    A user's class names are seldom the words that captions use most, and some mean something else
    as well. With a small ``own`` and some ``borrowed`` the encoder sees the known objects well but
    hardly knows them by their class names, which leaves tuning something to learn.
    """

    own: float
    """Of a known object's captions, those that use its class name; the others say an alias."""
    borrowed: float
    """Of other objects' captions, those that wrongly use a random known object's class name."""

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        for name in ("own", "borrowed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}.")

    def noun(self, name: str, rng: np.random.Generator) -> str:
        """Return what a caption calls the object."""
        if name not in ALIASES:
            return KNOWN[int(rng.integers(len(KNOWN)))] if rng.random() < self.borrowed else name
        if rng.random() < self.own:
            return name
        return ALIASES[name][int(rng.integers(len(ALIASES[name])))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One way to say some of the facts."""

    text: str
    """Format string over ``object``, ``style``, ``colour`` and ``background``."""
    says: tuple[bool, bool, bool, bool]
    """Whether it claims object, style, colour, background."""


TEMPLATES: tuple[Template, ...] = (
    Template(text="{object}.", says=(True, False, False, False)),
    Template(text="a photo of {object}.", says=(True, False, False, False)),
    Template(text="{style} of {object}.", says=(True, True, False, False)),
    Template(text="{style} of {object}", says=(True, True, False, False)),
    Template(text="{colour} {noun}.", says=(True, False, True, False)),
    Template(text="{style} of {colour} {noun}.", says=(True, True, True, False)),
    Template(
        text="{style} of {colour} {noun} on {background} background.",
        says=(True, True, True, True),
    ),
)
PROMPTS: tuple[str, ...] = ("a photo of a {}.",)
"""Templates for zero-shot classification: the usual one."""


def with_article(noun: str) -> str:
    """Return the noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def say(facts_F: Facts, template: Template, noun: str) -> str:
    """Return the caption that the template makes of an image's facts and the object's noun."""
    _, style, colour, background = (int(fact) for fact in facts_F)
    return template.text.format(
        object=with_article(noun),
        noun=noun,
        style=with_article(STYLES[style]),
        colour=with_article(palette.NAMES[colour]),
        background=with_article(palette.NAMES[background]),
    )


def describe(facts_NF: Facts, rng: np.random.Generator, naming: Naming) -> tuple[list[str], Facts]:
    """Return a random caption per image and the facts it claims (`UNSAID` for the rest)."""
    chosen = [TEMPLATES[int(i)] for i in rng.integers(len(TEMPLATES), size=len(facts_NF))]
    texts = [
        say(facts_F, template, naming.noun(OBJECTS[facts_F[0]], rng))
        for facts_F, template in zip(facts_NF, chosen, strict=True)
    ]
    says_NF = np.array([template.says for template in chosen])
    # People write "a photo of" under any picture, so as a claim of style it says nothing.
    says_NF[:, 1] &= facts_NF[:, 1] != STYLES.index("photo")
    return texts, np.where(says_NF, facts_NF, UNSAID)


def truth(facts_NF: Facts, claims_NF: Facts) -> npt.NDArray[np.bool_]:
    """Return whether each caption (columns) is true of each image (rows), (N, N)."""
    claims = claims_NF[None, :, :]
    matches: npt.NDArray[np.bool_] = ((claims == UNSAID) | (claims == facts_NF[:, None, :])).all(
        axis=2
    )
    return matches
