"""The bundles that answer at one moment, and by which names."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from service.classifier import Classifier
from service.errors import UnknownBundle
from service.locations import newest

_MOST_NAMED: Final = 20
"""How many bundles the message about an unknown one names."""


@dataclass(frozen=True, eq=False, slots=True)
class Loaded:
    """A set of bundles that never changes: a reload makes another."""

    classifiers: tuple[Classifier, ...]
    """The default first."""
    _by_name: Mapping[str, Classifier] = field(init=False)
    """By ``name@version``, and by ``name`` the newest."""

    def __post_init__(self) -> None:
        """Index the names."""
        object.__setattr__(self, "_by_name", _index(self.classifiers))

    def find(self, reference: str | None) -> Classifier:
        """Return ``name@version``, or of ``name`` the newest; without a reference the default.

        Raises:
            UnknownBundle: none is loaded under that name.
        """
        if reference is None:
            return self.classifiers[0]
        found = self._by_name.get(reference)
        if found is None:
            raise UnknownBundle(
                f"No bundle {reference[:100]!r} is loaded. Loaded: {self._in_words()}."
            )
        return found

    def _in_words(self) -> str:
        named = ", ".join(c.reference for c in self.classifiers[:_MOST_NAMED])
        more = len(self.classifiers) - _MOST_NAMED
        return f"{named} and {more} more, which GET /bundles lists" if more > 0 else named


def _index(classifiers: Sequence[Classifier]) -> dict[str, Classifier]:
    versions: defaultdict[str, list[Classifier]] = defaultdict(list)
    for classifier in classifiers:
        versions[classifier.bundle.manifest.name].append(classifier)
    by_name = {name: newest(some, lambda c: c.bundle.manifest) for name, some in versions.items()}
    return by_name | {c.reference: c for c in classifiers}
