"""Which known sets are shifted: their images come from where no training image is from."""

from collections.abc import Mapping
from typing import Final

from training.data import Item
from training.trial import Trial

SHIFTED: Final = " (shifted)"
"""Ends the name of such a set in rows, tables and pictures."""


def known_sets(trial: Trial) -> Mapping[str, tuple[Item, ...]]:
    """Return the known sets by the names that rows give them.

    A set is shifted where every image has a domain and none of these is trained on.
    """
    trained: set[str | None] = {None, *(item.domain for item in trial.train)}
    return {
        f"{name}{SHIFTED}" if all(i.domain not in trained for i in items) else name: items
        for name, items in trial.known.items()
    }
