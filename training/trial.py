"""One draw of a comparison: what every method trains on, and what all are judged by."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from training.class_names import ClassSpec
from training.data import Item


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Images of one seed, and of one held-out domain where domains are held out in turn."""

    name: str
    """What is held out, or the data's name: rows of one name are averaged over seeds."""
    seed: int
    """Of the draw, and of everything random in the methods."""
    classes: tuple[ClassSpec, ...]
    """The known classes; their order is that of labels."""
    train: tuple[Item, ...]
    """To tune on."""
    select: tuple[Item, ...] = ()
    """To choose epoch, alpha, beta and C by; nothing else looks at them."""
    known: Mapping[str, tuple[Item, ...]]
    """Images of known classes to judge by: by style, domain or shift; never trained on."""
    unknown: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)
    """Images of anything else, by name, for the figures alone."""
