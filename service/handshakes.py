"""Lets nobody begin to connect to a port that is about to be closed.

The kernel completes connections by itself, and resets those that a closed socket had not handed
over. To look whether anybody waits and to close are two steps, so somebody may come in between.
"""

import ctypes
import socket
import struct
import sys
from typing import Final

SECONDS: Final = 0.1
"""Time to complete the connections that have begun: a round trip of most networks.

Whoever begins meanwhile tries again after a second, and learns then that nobody listens.
"""
_SO_ATTACH_FILTER: Final = 26
_SYN: Final = 0x02
_LOAD_BYTE, _IF_BITS, _RETURN = 0x30, 0x45, 0x06
_KEEP_ALL: Final = 2**32 - 1
_FLAGS: Final = 13  # where a TCP header has them
_PROGRAM: Final = (
    (_LOAD_BYTE, 0, 0, _FLAGS),
    (_IF_BITS, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _KEEP_ALL),
)
"""Of the classic packet filter: each instruction's code, its two jumps, and its operand."""


def ignore_new(listener: socket.socket) -> bool:
    """Ignore first packets from now on, for all processes that have the socket, until it closes.

    Returns:
        False where that cannot be done, on systems other than Linux and in some sandboxes.
    """
    if sys.platform != "linux":
        return False
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _PROGRAM)
    kept = ctypes.create_string_buffer(program)
    fields = struct.pack("HP", len(_PROGRAM), ctypes.addressof(kept))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fields)
    except OSError:
        return False
    return True
