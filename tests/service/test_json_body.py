"""JSON of a body: bounded in what it becomes, and read as generously as Python's own reader."""

import json

import pytest

from service.errors import BadRequest, BodyTooLarge
from service.json_body import read_json


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": [1, "b"]}', {"a": [1, "b"]}),
        (rb'{"id": "a\ud800"}', {"id": "a\ud800"}),
        ('{"id": "ä"}'.encode("utf-16"), {"id": "ä"}),
        (b"\xef\xbb\xbf[]", []),
        (b"[" * 300 + b"]" * 300, json.loads("[" * 300 + "]" * 300)),
    ],
    ids=["plain", "half a character", "utf-16", "byte order mark", "deep"],
)
def test_what_python_reads_is_read(body: bytes, expected: object) -> None:
    """Also what the fast reader leaves: other encodings, cut texts, nesting within reason."""
    assert read_json(body, most_commas=1, hint="") == expected


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_the_rest_is_explained(body: bytes) -> None:
    """With what to send."""
    with pytest.raises(BadRequest, match=r"The body is not JSON: (?s:.*)\. Send this\.$"):
        read_json(body, most_commas=10, hint="Send this.")


def test_members_are_counted_before_anything_is_read() -> None:
    """One more comma than allowed is too large, JSON or not."""
    assert read_json(b"[1,2,3]", most_commas=2, hint="") == [1, 2, 3]
    for body in (b"[1,2,3,4]", b",,,"):
        with pytest.raises(BodyTooLarge, match=r"more than 2 members; .* Send this\."):
            read_json(body, most_commas=2, hint="Send this.")
