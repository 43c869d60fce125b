"""What a connection tells of whoever sends."""

from service.sender import Sender


def test_who_must_know_is_told_once_the_sender_leaves() -> None:
    """At once, if that was before."""
    told: list[str] = []
    sender = Sender()
    sender.on_leave(lambda: told.append("first"))
    assert told == []
    sender.leave()
    assert told == ["first"]
    sender.on_leave(lambda: told.append("second"))
    assert told == ["first", "second"]


def test_a_request_forgets_only_its_own() -> None:
    """The next one on the connection may have begun before the one before it has cleaned up."""
    told: list[str] = []
    sender = Sender()
    sender.on_leave(first := lambda: told.append("first"))
    sender.on_leave(second := lambda: told.append("second"))
    sender.forget(first)
    sender.leave()
    assert told == ["second"]
    sender.forget(second)
    sender.leave()
    assert told == ["second"]
