"""How many bytes are reserved for a body before it is read."""

import pytest
from starlette.datastructures import Headers

from service.body_limit import most_bytes


@pytest.mark.parametrize(
    ("declared", "expected"),
    [("0", 0), ("7", 7), ("1000", 100), (None, 100), ("-1", 100), ("²", 100)],
)
def test_what_is_declared_counts_up_to_the_limit(declared: str | None, expected: int) -> None:
    """An empty body takes nothing; without a number the limit is what may come."""
    headers = Headers({} if declared is None else {"content-length": declared})
    assert most_bytes(headers, limit=100) == expected
