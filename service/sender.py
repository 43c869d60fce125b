"""Whoever sent a request, as far as the connection knows: is there more to come, is anybody left?

A connection has one sender for all of its requests, which are answered one after another.
"""

from collections.abc import Callable

KEY = "sender"
"""Where the connection puts it in the state of a request's scope."""


class Sender:
    """Told by the connection, asked by the application.

    Under another server than ours nobody tells it: more may always come, and nobody ever leaves.
    """

    __slots__ = ("_on_leave", "gone", "sending")

    def __init__(self) -> None:
        """Be there, and about to send."""
        self.sending = True
        """Whether the newest request has not come to its end."""
        self.gone = False
        self._on_leave: Callable[[], object] | None = None

    def on_leave(self, call: Callable[[], object]) -> None:
        """Have something called when the sender leaves, at once if that has happened."""
        self._on_leave = call
        if self.gone:
            call()

    def forget(self, call: Callable[[], object]) -> None:
        """Do not call it any more. The next request may have put its own in its place by now."""
        if self._on_leave == call:
            self._on_leave = None

    def leave(self) -> None:
        """Be gone."""
        self.gone = True
        if self._on_leave is not None:
            self._on_leave()
