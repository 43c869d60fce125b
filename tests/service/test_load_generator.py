"""What the benchmarks of the service measure with: its counts are those of the service."""

import base64
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.load.accounts import read_accounts
from benchmarks.load.generator import Generator, Job, summary
from benchmarks.load.machine import Meter, pss_mib, rss_mib, tree
from benchmarks.load.requests import form, raw
from benchmarks.overload import promises, recovery
from benchmarks.peers.install import FLOOR
from benchmarks.serving_table import PROCESSES, table, targets
from tests.bundles import colour_image, tiny_bundle
from tests.service.processes import Served, served

RED, WHITE = colour_image("red"), colour_image("white")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a bundle."""
    folder = tmp_path_factory.mktemp("load")
    with served(tiny_bundle(folder / "colours"), folder / "log") as running:
        yield running


def _run(service: Served, *requests: bytes, **options: Any) -> dict[str, Any]:
    job = Job(
        port=service.port,
        requests=[base64.b64encode(request).decode() for request in requests],
        expected=["red"] * len(requests),
        label_at=["candidates", 0, "label"],
        **{"connections": 3, "seconds": 0.4, **options},
    )
    generator = Generator(job)
    generator.run()
    return summary(generator, cpu_seconds=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 50.0])
def test_its_counts_are_those_of_the_service(service: Served, rate: float) -> None:
    """Closed loop and open loop: what was sent is what was received, each answered."""
    before = read_accounts(service.port)
    found = _run(service, raw("/classify", RED), form("/classify", RED), rate=rate)
    accounts = read_accounts(service.port).since(before)
    assert found["sent"] == found["statuses"][200] == accounts.received == accounts.settled > 10
    assert (found["broken"], found["wrong"]) == (0, 0)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
    if rate:
        assert found["sent"] == pytest.approx(rate * 0.4, abs=2)


@pytest.mark.slow
def test_wrong_labels_refusals_and_lost_connections_are_counted(service: Served) -> None:
    """An answer with another label is wrong, a 4xx is no answer, silence is broken."""
    assert _run(service, raw("/classify", colour_image("blue")))["wrong"] > 0
    refused = _run(service, raw("/classify", b"junk"))
    assert (list(refused["statuses"]), refused["per_second"]) == ([415], 0)
    assert _run(service, b"NONSENSE\r\n\r\n")["statuses"].keys() == {400}


def test_an_open_loop_does_not_wait_for_answers() -> None:
    """With one connection and no answer, all but the first request is skipped, and said so."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        generator = Generator(Job(silent.getsockname()[1], ["AA=="], [""], [], 1, 0.2, rate=100))
        generator.patience_seconds = 0.1
        generator.run()
    found = summary(generator, 0.0)
    assert (found["sent"], found["broken"]) == (1, 1)
    assert 10 <= found["skipped"] <= 19  # nineteen, unless the machine is busy


def test_a_meter_tells_a_server_from_strangers() -> None:
    """The CPU of a process is its server's; its own is nobody else's."""
    meter = Meter(os.getpid())
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    cpu, _ = meter.read()
    assert 0.15 <= cpu <= 1.0
    assert os.getpid() in tree(os.getpid())
    assert 1 < pss_mib(os.getpid()) <= 1.1 * rss_mib(os.getpid()) + 200


# ------------------------------------------------------------------ verdicts

ROW: dict[str, Any] = {
    "server": "Croft", "clients": 32, "repeat": 1, "per_second": 90.0, "loop_per_second": 100.0,
    "p50_ms": 14.0, "p99_ms": 30.0, "loop_single_ms": 10.0, "cpu_ms": 11.0, "loop_cpu_ms": 10.0,
    "errors": 0, "wrong": 0, "pss_mib": 80.0, "client_cpu_ms": 0.1, "others_cores": 0.0,
    "loop_others_cores": 0.0, "cores": 2,
}  # fmt: skip


def _rows(**changes: Any) -> list[dict[str, Any]]:
    one, alone = ROW | changes, ROW | {"clients": 1} | changes | {"clients": 1}
    floor, peer = (ROW | {"server": FLOOR}, ROW | {"server": "Peer", "per_second": 80.0})
    return [one, alone, one | {"server": PROCESSES}, floor, peer | {"errors": 3}]


def test_all_targets_are_met_and_each_can_be_missed() -> None:
    """One change misses exactly one target."""
    assert [met for *_, met in targets(_rows())] == [True] * 5
    changes: list[dict[str, Any]] = [
        {"cpu_ms": 11.6},
        {"per_second": 84.0},
        {"per_second": 79.0, "loop_per_second": 90.0},
        {"p50_ms": 15.1},
        {"wrong": 1},
    ]
    for index, change in enumerate(changes):
        assert [met for *_, met in targets(_rows(**change))] == [i != index for i in range(5)]


def test_the_table_has_medians_and_what_strangers_left() -> None:
    """Half the machine taken by strangers from the service alone doubles its share."""
    rows = [ROW | {"per_second": x, "others_cores": 1.0} for x in (10.0, 45.0, 90.0)]
    assert "| Croft | 32 | 45 | 0.45 | 0.90 |" in table(rows)


FOUND: dict[str, Any] = {
    "calm": {"p99_ms": 100.0},
    "peak": {"per_second": 20.0},
    "queue_images": 20,
    "rush": {
        "per_second": 19.0,
        "p99_ms": 1500.0,
        "statuses": {"200": 1000, "503": 9000},
        "refused_with_retry_after": 9000,
    },
    "rss_mib": [100.0] * 40,
    "probes": [(0.5, 1.0, 200), (1.6, 0.1, 200)],
    "accounts": {"received": 10_002, "outcomes": {"accepted": 1002, "shed": 9000}},
    "client": {"sent": 10_002, "answered": 1002, "refused": 9000, "broken": 0},
}


def test_all_promises_of_overload_are_kept_and_each_can_be_broken() -> None:
    """One change breaks exactly one promise."""
    assert [kept for *_, kept in promises(FOUND)] == [True] * 6
    rush = FOUND["rush"]
    changes: list[dict[str, Any]] = [
        {"rush": rush | {"per_second": 17.0}},
        {"rush": rush | {"p99_ms": 2001.0}},
        {"rss_mib": [100.0] * 20 + [120.0] * 20},
        {"probes": [(2.0, 0.1, 503)]},
        {"rush": rush | {"refused_with_retry_after": 8999}},
        {"accounts": {"received": 10_003, "outcomes": {"accepted": 1002, "shed": 9000}}},
    ]
    for index, change in enumerate(changes):
        kept = [kept for *_, kept in promises(FOUND | change)]
        assert kept == [i != index for i in range(6)]


def test_recovery_counts_from_the_last_slow_probe() -> None:
    """Until its end, since a probe that began late may still be slow."""
    assert recovery(FOUND) == 1.5
    assert recovery(FOUND | {"probes": [(-1.0, 0.1, 503), (0.1, 0.1, 200)]}) == 0.0
