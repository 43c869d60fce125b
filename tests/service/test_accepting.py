"""Connections are dealt out among those who take them; nobody waits for one who does not."""

import asyncio
import errno
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import accepting
from service.accepting import Acceptor
from service.crowd import Crowd, nobody
from tests.service.fakes import run

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs SO_ATTACH_FILTER")


class _Connection(asyncio.Protocol):
    """Says who took it, and in the crowd when it has ended."""

    def __init__(self, crowd: Crowd, name: bytes) -> None:
        self._crowd = crowd
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._name)

    def connection_lost(self, _error: Exception | None) -> None:
        self._crowd.left()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


@pytest.fixture
def crowds(tmp_path: Path) -> list[Crowd]:
    """Return what two processes see, and their parent."""
    with (tmp_path / "numbers").open("w+b") as file:
        file.write(nobody(2))
        file.flush()
        return [Crowd.mapped(file.fileno(), number) for number in range(3)]


def _acceptor(listener: socket.socket, crowd: Crowd, name: bytes = b"1") -> Acceptor:
    return Acceptor(listener.dup(), lambda: _Connection(crowd, name), crowd=crowd)


async def _come(listener: socket.socket) -> tuple[bytes, asyncio.StreamWriter]:
    """Connect, and return who took it."""
    host, port = listener.getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    return await asyncio.wait_for(reader.read(1), 10), writer


def test_two_take_the_same_number(
    listener: socket.socket, crowds: list[Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of those who come in one moment, and after those of one of them have left."""
    monkeypatch.setattr(accepting, "COURTESY_SECONDS", 10)

    async def scenario() -> None:
        acceptors = [
            _acceptor(listener, crowd, name)
            for crowd, name in zip(crowds[:2], (b"a", b"b"), strict=True)
        ]
        taken = await asyncio.gather(*(_come(listener) for _ in range(20)))
        assert sorted(name for name, _ in taken) == [b"a"] * 10 + [b"b"] * 10
        for name, writer in taken:
            if name == b"b":
                writer.close()
        await asyncio.sleep(0.1)
        again = await asyncio.gather(*(_come(listener) for _ in range(10)))
        assert [name for name, _ in again] == [b"b"] * 10
        for _, writer in (*taken, *again):
            writer.close()
        for acceptor in acceptors:
            await acceptor.finish()

    run(scenario())


def test_who_takes_nobody_is_not_waited_for(
    listener: socket.socket, crowds: list[Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stuck costs a moment, and again when it has moved."""
    courtesy = 0.5
    monkeypatch.setattr(accepting, "COURTESY_SECONDS", courtesy)

    async def scenario() -> None:
        crowds[1].begin()
        acceptor = _acceptor(listener, crowds[0])
        loop, writers = asyncio.get_running_loop(), []

        async def waits() -> bool:
            started = loop.time()
            writers.append((await _come(listener))[1])
            return loop.time() - started >= courtesy

        assert [await waits() for _ in range(4)] == [False, True, False, False]
        crowds[1].came()
        assert [await waits() for _ in range(2)] == [True, False]
        crowds[1].came()
        crowds[1].end()
        assert not await waits()
        for writer in writers:
            writer.close()
        await acceptor.finish()

    run(scenario())


def test_who_waits_at_the_end_is_still_taken(listener: socket.socket) -> None:
    """The last ones are not reset, although the socket is closed."""

    async def scenario() -> None:
        crowd = Crowd()
        acceptor = _acceptor(listener, crowd)
        with (
            socket.create_connection(listener.getsockname()) as first,
            socket.create_connection(listener.getsockname()) as second,
        ):
            listener.close()
            await acceptor.finish()
            for connection in (first, second):
                connection.setblocking(False)
                assert await asyncio.get_running_loop().sock_recv(connection, 1) == b"1"

    run(scenario())


@linux
def test_nobody_can_connect_while_the_last_process_closes(
    listener: socket.socket, crowds: list[Crowd]
) -> None:
    """Whoever tries then is refused, not accepted and reset; the first to close stops nobody."""

    async def scenario() -> None:
        first, last = (_acceptor(listener, crowd) for crowd in crowds[:2])
        address = listener.getsockname()
        await first.finish()
        name, writer = await asyncio.wait_for(_come(listener), 5)
        assert name == b"1"
        writer.close()
        crowds[2].let_go()
        closing = asyncio.create_task(last.finish())
        await asyncio.sleep(0)
        coming = asyncio.create_task(asyncio.open_connection(*address))
        await closing
        await asyncio.sleep(0.05)
        assert not coming.done()  # the port is still open, and yet nobody answers
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.wait_for(coming, 10)

    run(scenario())


def test_the_system_may_refuse(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without descriptors it is said once, not in a busy loop, and tried again later."""

    async def scenario() -> None:
        monkeypatch.setattr(accepting, "_TROUBLE_SECONDS", 0.2)
        refusals: list[OSError] = [ConnectionAbortedError(), OSError(errno.EMFILE, "no descriptor")]

        class _Refusing(socket.socket):
            def accept(self) -> tuple[socket.socket, Any]:
                if refusals:
                    raise refusals.pop(0)
                return super().accept()

        refusing = _Refusing(fileno=listener.dup().detach())
        crowd = Crowd()
        acceptor = Acceptor(refusing, lambda: _Connection(crowd, b"1"), crowd=crowd)
        started = asyncio.get_running_loop().time()
        name, writer = await _come(listener)
        assert name == b"1"
        assert asyncio.get_running_loop().time() - started >= 0.2
        assert caplog.text.count("no connection can be taken for a moment") == 1
        writer.close()
        await acceptor.finish()

    run(scenario())


def test_a_crowd_knows_who_is_ahead(crowds: list[Crowd]) -> None:
    """Only of those who take connections; a number that leaves does not come back."""
    first, second, _ = crowds
    first.begin()
    first.came()
    assert (first.ahead, second.ahead) == (False, False)
    second.begin()
    assert (first.ahead, second.ahead) == (True, False)
    second.came()
    second.came()
    assert (first.ahead, second.ahead) == (False, True)
    second.left()
    second.left()
    assert (first.ahead, second.ahead) == (True, False)
    second.end()
    second.came()
    assert (first.ahead, second.ahead) == (False, False)


def test_a_crowd_knows_who_closes_the_port_as_the_last(crowds: list[Crowd]) -> None:
    """One that only wants nobody still has it; alone, a process is the last."""
    first, second, parent = crowds
    first.begin()
    second.begin()
    second.end()
    assert [crowd.let_go() for crowd in (first, parent, second)] == [False, False, True]
    second.begin()
    assert [crowd.let_go() for crowd in (first, second)] == [False, True]
    assert Crowd().let_go()


def test_a_parent_that_was_killed_holds_nothing(crowds: list[Crowd]) -> None:
    """It cannot say so itself."""
    assert not crowds[0].let_go()
    crowds[0].parent_ended()
    assert crowds[0].let_go()
