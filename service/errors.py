"""What can go wrong with a request, and the one table of how each error goes over the wire.

ServiceError
├── BadRequest          malformed, or a part is missing
├── Unauthorized        no key, or one that is not known
├── Forbidden           a key whose scope does not suffice
├── UnknownRoute        no such path
├── WrongMethod         no such method for the path
├── UnknownBundle       a name that no loaded bundle has
├── BodyTooLarge        more bytes than allowed
├── UnsupportedMedia    a content type or coding that no image comes in
├── ReloadRunning       one reload at a time
├── ReloadFailed        what lies at the configured paths cannot be served
├── EncodingFailed      the encoder failed on this image alone
├── Unavailable         try again later
│   ├── RateLimited         the caller's window is full
│   ├── Overloaded          the queue is full
│   ├── Draining            the process is about to end
│   └── NotReady            the bundle or its encoder cannot answer yet
├── DeadlineExceeded    not answered in time
└── ClientGone          nobody waits for the answer
"""

from dataclasses import dataclass
from typing import Final, Literal

from models.errors import CroftError, ImageTooLarge, Undecodable, UnsupportedFormat

Outcome = Literal["accepted", "rejected", "invalid", "failed", "cancelled", "shed"]


class ServiceError(CroftError):
    """A request that gets no answer; the message tells its sender what to do."""


class BadRequest(ServiceError):
    """The request is malformed, or a part is missing."""


class Unauthorized(ServiceError):
    """The path needs a key, and none that is known was given."""


class Forbidden(ServiceError):
    """The key is known, but its scope does not suffice."""


class UnknownRoute(ServiceError):
    """There is no such path."""


class WrongMethod(ServiceError):
    """The path does not have that method."""


class UnknownBundle(ServiceError):
    """No loaded bundle has that name."""


class BodyTooLarge(ServiceError):
    """The body has more bytes than allowed."""


def too_long(what: str, *, limit: int) -> BodyTooLarge:
    """Return the error of an image file longer than ``limit``; ``what`` says how long it is."""
    return BodyTooLarge(
        f"{what}; at most {limit:,} are read (CROFT_MAX_BODY_BYTES). Send a smaller version of "
        "the image."
    )


class UnsupportedMedia(ServiceError):
    """A content type or content coding that no image comes in."""


class ReloadRunning(ServiceError):
    """Bundles are being reloaded already."""


class ReloadFailed(ServiceError):
    """A bundle at the configured paths cannot be trusted, or failed its self-test."""


class EncodingFailed(ServiceError):
    """The encoder failed on this image, alone."""


class Unavailable(ServiceError):
    """Nothing is wrong with the request; it may succeed later."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        """``retry_after``: seconds after which it is worth trying again."""
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Unavailable):
    """The caller has sent as much as it may in this window of time."""


class Overloaded(Unavailable):
    """The queue is full."""


class Draining(Unavailable):
    """The process finishes what it has and takes nothing new."""

    def __init__(
        self,
        message: str = (
            "This process is shutting down. Send the request again: another one answers."
        ),
        *,
        retry_after: int = 1,
    ) -> None:
        """``retry_after`` is short, for another process answers at once."""
        super().__init__(message, retry_after=retry_after)


class NotReady(Unavailable):
    """The bundle or its encoder cannot answer yet."""

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        """``retry_after``: what a test or a trial of the encoder usually takes."""
        super().__init__(message, retry_after=retry_after)


class DeadlineExceeded(ServiceError):
    """The request was not answered in time."""


class ClientGone(ServiceError):
    """The client left before the answer was there."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How an error is sent and counted."""

    status: int
    slug: str
    title: str
    outcome: Outcome

    @property
    def type(self) -> str:
        """The problem type, a URI that identifies it (RFC 9457)."""
        return f"urn:croft:problem:{self.slug}"


INTERNAL: Final = Wire(500, "internal", "Internal error", "failed")

TABLE: Final[dict[type[Exception], Wire]] = {
    BadRequest: Wire(400, "bad-request", "Bad request", "invalid"),
    Unauthorized: Wire(401, "unauthorized", "API key needed", "invalid"),
    Forbidden: Wire(403, "forbidden", "API key does not suffice", "invalid"),
    UnknownRoute: Wire(404, "unknown-route", "No such path", "invalid"),
    UnknownBundle: Wire(404, "unknown-bundle", "No such bundle", "invalid"),
    WrongMethod: Wire(405, "wrong-method", "No such method here", "invalid"),
    ReloadRunning: Wire(409, "reload-running", "A reload is running", "invalid"),
    ReloadFailed: Wire(409, "reload-failed", "Bundles were not reloaded", "invalid"),
    BodyTooLarge: Wire(413, "body-too-large", "Body too large", "invalid"),
    ImageTooLarge: Wire(413, "image-too-large", "Image too large", "invalid"),
    UnsupportedFormat: Wire(415, "unsupported-format", "Not a readable image format", "invalid"),
    UnsupportedMedia: Wire(415, "unsupported-media", "Unsupported content type", "invalid"),
    Undecodable: Wire(422, "undecodable", "Image cannot be decoded", "invalid"),
    RateLimited: Wire(429, "rate-limited", "Too many requests", "shed"),
    ClientGone: Wire(499, "client-gone", "Client left", "cancelled"),
    EncodingFailed: Wire(500, "encoding-failed", "Image could not be encoded", "failed"),
    Overloaded: Wire(503, "overloaded", "Overloaded", "shed"),
    Draining: Wire(503, "draining", "Shutting down", "shed"),
    NotReady: Wire(503, "not-ready", "Not ready", "shed"),
    DeadlineExceeded: Wire(504, "deadline-exceeded", "Not answered in time", "shed"),
}
"""The one mapping from errors to status, problem type, title and outcome."""


def wire(error: BaseException) -> Wire:
    """Return how an error is sent; whatever the table does not name is internal."""
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), INTERNAL)
