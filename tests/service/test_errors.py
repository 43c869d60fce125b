"""Every error has one place in the one table, and its wire form says what to do."""

import pytest

from models.errors import CroftError, ImageError, ImageTooLarge
from service.errors import INTERNAL, TABLE, Overloaded, ServiceError, Unavailable, wire


def _leaves(kind: type[CroftError]) -> set[type[CroftError]]:
    below = kind.__subclasses__()
    return set().union(*map(_leaves, below)) if below else {kind}


def test_the_table_names_every_error_of_a_request() -> None:
    """No error of an image or of the service is left to be internal."""
    errors = _leaves(ImageError) | _leaves(ServiceError)
    assert [error for error in errors if not TABLE.keys() & set(error.__mro__)] == []


def test_problem_types_are_distinct() -> None:
    """A client can tell errors apart by type alone, also within a status."""
    types = [row.type for row in (*TABLE.values(), INTERNAL)]
    assert len(set(types)) == len(types)


@pytest.mark.parametrize("kind", sorted(TABLE, key=str))
def test_outcomes_follow_the_status(kind: type[Exception]) -> None:
    """The caller's mistakes count as invalid, ours as failed, lack of time or room as shed."""
    row = TABLE[kind]
    expected = {4: "invalid", 5: "failed"}[row.status // 100]
    expected = {429: "shed", 499: "cancelled", 503: "shed", 504: "shed"}.get(row.status, expected)
    assert row.outcome == expected
    assert (row.status in (429, 503)) == issubclass(kind, Unavailable)


def test_a_subclass_is_sent_like_its_parent() -> None:
    """The nearest ancestor in the table decides; strangers are internal."""

    class Special(ImageTooLarge):
        pass

    assert wire(Special("x")) == TABLE[ImageTooLarge]
    assert wire(Overloaded("x", retry_after=1)).status == 503
    assert wire(ZeroDivisionError()) == INTERNAL
