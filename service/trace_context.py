"""``traceparent``: the trace that a request belongs to, as W3C Trace Context writes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

HEADER: Final = "traceparent"
_FORM: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-[0-9a-f]{2}(?P<more>-[\x21-\x7e]{1,200})?"
)
"""Versions after 00 may say more at the end; ff and ids of zeros only are forbidden."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace, and the span in it that speaks."""

    trace_id: str
    span_id: str


def read_traceparent(headers: Mapping[str, str]) -> tuple[str, Trace] | None:
    """Return the header as given and what it names; None without one, or if it is malformed."""
    text = headers.get(HEADER)
    found = _FORM.fullmatch(text) if text is not None else None
    if text is None or found is None or (found["version"] == "00" and found["more"]):
        return None
    return text, Trace(found["trace"], found["span"])
