"""First packets of a connection are dropped, and no others: looked at on sockets of datagrams."""

import socket
import sys

import pytest

from service.handshakes import ignore_new

FIN, SYN, RST, PSH, ACK, ECE, CWR = (1 << bit for bit in (0, 1, 2, 3, 4, 6, 7))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs SO_ATTACH_FILTER")


def _packet(flags: int) -> bytes:
    """Return what has these flags where a TCP header has them, and an upload's length."""
    return bytes(13) + bytes([flags]) + bytes(1000)


def test_only_first_packets_are_dropped() -> None:
    """Those that complete a connection arrive, and what is sent over it arrives whole."""
    first = [SYN, SYN | ECE | CWR]
    others = [ACK, ACK | PSH, ACK | FIN, RST]
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.settimeout(5)
        assert ignore_new(receiver)
        for flags in (*first, *others):
            sender.send(_packet(flags))
        assert [receiver.recv(2000) for _ in others] == [_packet(flags) for flags in others]


def test_where_it_cannot_be_done_it_is_said() -> None:
    """As a sandbox would say it."""

    class _Forbidden(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise OSError("not permitted")

    with _Forbidden() as listener:
        assert not ignore_new(listener)
