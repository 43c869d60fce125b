"""Several processes behind one port are one service: counted as one, healed, and ended as one."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from benchmarks.load.scrape import scrape, total
from benchmarks.processes import wait_until
from service.processes import tell_reloaded
from tests.bundles import tiny_bundle
from tests.service.processes import QUEUE, Served, all_serve, served, value_of
from tests.service.traffic import Traffic

pytestmark = pytest.mark.slow


def _post(url: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30) as response:
        return str(response.read().decode())


def _children(service: Served) -> set[int]:
    return _children_of(service.process.pid)


def _children_of(pid: int) -> set[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return {int(line) for line in found.stdout.split()}


@contextmanager
def _two(bundle: Path, folder: Path) -> Iterator[Served]:
    """Serve from two processes, whose files lie below ``folder``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        with served(bundle, folder / "log", processes=2) as service:
            wait_until(lambda: all_serve(service, 2))
            yield service


def _received_by(file: Path) -> float:
    counters = MmapedDict(str(file), read_mode=True)  # type: ignore[no-untyped-call]
    try:
        values = counters.read_all_values()  # type: ignore[no-untyped-call]
        return sum(float(v) for key, v, _ in values if '"croft_images_received_total"' in key)
    finally:
        counters.close()  # type: ignore[no-untyped-call]


def _check_accounts(service: Served, sent: int) -> None:
    """Whichever process answers: what was received has an outcome, and is what was sent."""
    for _ in range(6):
        found = scrape(service.port)
        assert total(found, "croft_images_received_total") == sent
        assert total(found, "croft_images_total") == sent
        assert total(found, "croft_queue_images") == 0


def test_the_metrics_of_all_processes_add_up(bundle_path: Path, tmp_path: Path) -> None:
    """Both take part; any of them tells the count of the client, and the facts once."""
    with _two(bundle_path, tmp_path) as service:
        with Traffic(service.port) as traffic:
            traffic.wait_for(200)
        assert traffic.statuses.keys() == {200}
        assert traffic.broken == []
        _check_accounts(service, traffic.answered)
        found = scrape(service.port)
        assert total(found, "croft_bundle_info") == 1
        assert total(found, "croft_calibration_images") == 300
        assert total(found, "croft_p_value_count", bundle="colours") == traffic.answered
        each = [_received_by(file) for file in tmp_path.glob("croft-metrics-*/counter_*.db")]
        assert len(each) == 2
        assert min(each) > 0
        assert sum(each) == traffic.answered


def _sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    sockets = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            sockets += os.readlink(file).startswith("socket:")
    return sockets


def _ask(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def _crowd(service: Served) -> list[int]:
    """Return how many connections the processes say they have; less than 0: it takes none."""
    child = min(_children(service))
    variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    (inherited,) = [v for v in variables if v.startswith(b"_CROFT_INHERITED_SOCKET=")]
    numbers = int(inherited.partition(b"=")[2].split()[1])
    *own, _parent = array("i", Path(f"/proc/{service.process.pid}/fd/{numbers}").read_bytes())
    return own


def _connected(service: Served, connections: int) -> ExitStack:
    """Connect so often in one moment, and have every connection answered."""
    with ExitStack() as stack:
        address = ("127.0.0.1", service.port)
        opened = [
            stack.enter_context(socket.create_connection(address, timeout=20))
            for _ in range(connections)
        ]
        for connection in opened:
            _ask(connection)
        return stack.pop_all()


def test_connections_are_dealt_out(bundle_path: Path, tmp_path: Path) -> None:
    """Those that come in one moment, too; on a busy machine a process may be late now and then."""
    with _two(bundle_path, tmp_path) as service:
        children = sorted(_children(service))
        before = [_sockets(child) for child in children]
        shares = set()
        for _ in range(5):
            with _connected(service, 20):
                shares.add(tuple(map(_sockets, children)))
                assert sum(_crowd(service)) == 20
            wait_until(lambda: _crowd(service) == [0, 0])
            wait_until(lambda: [_sockets(child) for child in children] == before)
        assert tuple(number + 10 for number in before) in shares, (before, shares)


def test_a_stuck_process_is_not_waited_for(bundle_path: Path, tmp_path: Path) -> None:
    """The other one takes all who come."""
    with _two(bundle_path, tmp_path) as service:
        stuck = min(_children(service))
        os.kill(stuck, signal.SIGSTOP)
        try:
            with _connected(service, 10), _connected(service, 10):
                pass
        finally:
            os.kill(stuck, signal.SIGCONT)


def test_a_process_that_ends_leaves_new_connections_to_the_others(
    bundle_path: Path, tmp_path: Path
) -> None:
    """Long before it is done: with ever fewer of its own it would get them all, and refuse them."""
    with (
        _two(bundle_path, tmp_path) as service,
        socket.create_connection(("127.0.0.1", service.port)) as connection,
    ):
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        wait_until(lambda: value_of(service, "croft_queue_images") == 1)
        started = time.monotonic()
        for child in _children(service):
            os.kill(child, signal.SIGTERM)
        wait_until(lambda: _crowd(service) == [-1, -1])
        assert time.monotonic() - started < 3  # the upload is given up after 5


def test_a_killed_process_is_replaced(bundle_path: Path, tmp_path: Path) -> None:
    """Its gauges vanish, its counters stay, what it was working on is counted as failed."""
    with _two(bundle_path, tmp_path) as service:
        victim = min(_children(service))
        with Traffic(service.port) as traffic:
            traffic.wait_for(200)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: value_of(service, "croft_queue_limit_images") == QUEUE)
            assert min(_crowd(service)) < 0
            traffic.wait_for(50)
            broken = len(traffic.broken)
            wait_until(lambda: value_of(service, "croft_queue_limit_images") == 2 * QUEUE)
            traffic.wait_for(200)
            assert len(traffic.broken) == broken, traffic.broken
        assert traffic.statuses.keys() == {200}
        assert victim not in _children(service)
        assert len(_children(service)) == 2
        found = scrape(service.port)
        failed = total(found, "croft_images_total", outcome="failed")
        assert failed <= broken
        assert total(found, "croft_images_total", outcome="accepted") >= traffic.answered
        _check_accounts(service, int(total(found, "croft_images_received_total")))
        assert not list(tmp_path.glob(f"croft-metrics-*/gauge_live*_{victim}.db"))


def test_images_that_die_with_their_process_are_counted(bundle_path: Path, tmp_path: Path) -> None:
    """One is being uploaded when its process is killed: received, and then failed."""
    with _two(bundle_path, tmp_path) as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
            wait_until(lambda: value_of(service, "croft_queue_images") == 1)
            for child in _children(service):
                os.kill(child, signal.SIGKILL)
            assert connection.recv(1000) == b""
        wait_until(lambda: _ready(service))
        found = scrape(service.port)
        assert total(found, "croft_images_received_total") == 1
        assert total(found, "croft_images_total", outcome="failed") == 1
        assert total(found, "croft_queue_images") == 0


def _ready(service: Served) -> bool:
    try:
        return value_of(service, "croft_ready") == 1
    except OSError:
        return False


def test_a_reload_reaches_all_processes(tmp_path: Path) -> None:
    """Who is asked answers from what it did; the other one follows."""
    tiny_bundle(tmp_path / "bundles" / "1")
    with _two(tmp_path / "bundles", tmp_path) as service:
        tiny_bundle(tmp_path / "bundles" / "2", version="2", graph_seed=1)
        with Traffic(service.port) as traffic:
            traffic.wait_for(50)
            assert '"added":["colours@2"]' in _post(f"{service.url}/bundles/reload")
            wait_until(lambda: value_of(service, "croft_reloads_total", outcome="done") == 2)
            before = traffic.bundles["colours@1"]
            traffic.wait_for(100)
            # Those that began before the second swap may still be answered by the old one.
            assert traffic.bundles["colours@1"] <= before + 8
        assert traffic.broken == []
        assert traffic.statuses.keys() == {200}
        for _ in range(6):
            found = scrape(service.port)
            assert total(found, "croft_bundle_info") == 1
            assert total(found, "croft_bundle_info", version="2") == 1
            assert total(found, "croft_alpha", version="1") == 0
        _check_accounts(service, traffic.answered)


def test_sighup_to_the_parent_reloads_all(tmp_path: Path) -> None:
    """As for one process."""
    tiny_bundle(tmp_path / "bundles" / "1")
    with _two(tmp_path / "bundles", tmp_path) as service:
        tiny_bundle(tmp_path / "bundles" / "2", version="2")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: value_of(service, "croft_reloads_total", outcome="done") == 2)
        assert value_of(service, "croft_bundle_info", version="2") == 1


def test_bundles_that_cannot_be_served_end_it(tmp_path: Path) -> None:
    """Status 1, and the reason once, not once a process."""
    command = [sys.executable, "-m", "croft", "serve", str(tmp_path), "--port", "0"]
    done = subprocess.run(
        [*command, "--processes", "3"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("no bundle there") == 1
    assert "giving up" in done.stderr
    assert done.stdout == ""


def _seconds_to_be_refused(port: int) -> float:
    """Connect until nobody listens, and return how long the last attempt took."""
    end = time.monotonic() + 90
    while (started := time.monotonic()) < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=20).close()
        except ConnectionRefusedError:
            return time.monotonic() - started
        time.sleep(0.002)
    raise TimeoutError("somebody still listens")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_their_parent(
    bundle_path: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Also with one that is killed, and tells nobody; the last to close the port resets nobody.

    Where that cannot be helped (see ``service.handshakes``) attempts to connect would be refused
    at once, or made and reset; here some have to be repeated.
    """
    with _two(bundle_path, tmp_path) as service, ThreadPoolExecutor(4) as pool:
        children = _children(service)
        attempts = [pool.submit(_seconds_to_be_refused, service.port) for _ in range(4)]
        service.process.send_signal(number)
        service.process.wait(30)
        wait_until(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children))
        assert max(attempt.result() for attempt in attempts) > 0.5


def test_a_child_tells_by_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """The parent reads it."""
    tell_reloaded()
    assert capfd.readouterr().out == "reloaded\n"


_PARENT = """
import socket, sys
from pathlib import Path
from service.processes import supervise
from service.settings import read_settings

file = Path(sys.argv[1])
sys.executable = str(file)
with socket.create_server(("127.0.0.1", 0)) as listener:
    sys.exit(supervise(read_settings(processes=2, bundles=None, port=0), listener))
"""


def _parent(program: Path) -> "subprocess.Popen[str]":
    """Run a parent whose processes are this file."""
    return subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_cannot_be_started_is_as_one_that_died(tmp_path: Path) -> None:
    """The first one: nothing can be served. A later one: it is tried again."""
    program = tmp_path / "program"
    parent = _parent(program)
    _, errors = parent.communicate(timeout=30)
    assert parent.returncode == 1
    assert "a process could not be started" in errors
    assert "Traceback" not in errors


def test_others_go_on_while_one_cannot_be_started(tmp_path: Path) -> None:
    """As the machine had no memory for it; a greeting may be as long as it likes."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nmv {program} {program}-away\nprintf '%0100000d\\n' 1\ncat\n")
    program.chmod(0o755)
    parent = _parent(program)
    try:
        assert parent.stdout is not None
        assert len(parent.stdout.readline()) == 100_001
        assert parent.stderr is not None
        assert "could not be started" in parent.stderr.readline()
        (tmp_path / "program-away").rename(program)
        wait_until(lambda: not program.exists())
        assert parent.poll() is None
        assert len(_children_of(parent.pid)) == 2
    finally:
        parent.kill()
        parent.communicate()
