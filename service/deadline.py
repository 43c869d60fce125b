"""By when a request wants its answer: its own header, within what the settings allow."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.errors import BadRequest, DeadlineExceeded

HEADER: Final = "X-Request-Timeout"
_KEY: Final = HEADER.lower()
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a request's time."""

    seconds: float
    """How much there was from the start."""
    at: float
    """On the clock of ``time.monotonic``."""

    @property
    def left(self) -> float:
        """Seconds until then, 0 afterwards."""
        return max(0.0, self.at - time.monotonic())

    def exceeded(self, when: str) -> DeadlineExceeded:
        """Return the error of a request that was too late ``when`` something was going on."""
        return DeadlineExceeded(
            f"The request took longer than {self.seconds:g} s ({HEADER}, at most and by default "
            f"CROFT_REQUEST_TIMEOUT), {when}. Try again when it is calmer."
        )


def read_deadline(headers: Mapping[str, str], *, most: float) -> Deadline:
    """Return the deadline of a request that begins now.

    Args:
        headers: of the request, names in small letters; ``X-Request-Timeout`` is in seconds.
        most: seconds that the settings allow, and that a request without the header gets.

    Raises:
        BadRequest: the header is no number of seconds above 0.
    """
    text = headers.get(_KEY)
    seconds = most if text is None else min(most, _parse(text))
    return Deadline(seconds, time.monotonic() + seconds)


def _parse(text: str) -> float:
    if not _SECONDS.fullmatch(text) or (seconds := float(text)) == 0:
        raise BadRequest(
            f"`{HEADER}` must be a number of seconds above 0, such as 2 or 0.5, got {text[:50]!r}."
        )
    return seconds
