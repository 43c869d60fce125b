"""Swaps and ends under load, again and again: nobody's request fails.

``CROFT_TEST_ROUNDS=20`` makes more rounds of each.
"""

import os
import shutil
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from benchmarks.load.scrape import scrape, total
from benchmarks.processes import wait_until
from tests.bundles import tiny_bundle
from tests.service.processes import Served, all_serve, served
from tests.service.traffic import Traffic

ROUNDS: Final = int(os.environ.get("CROFT_TEST_ROUNDS", "3"))

several = pytest.mark.parametrize("processes", [1, 2])


def _reload(service: Served) -> None:
    request = urllib.request.Request(f"{service.url}/bundles/reload", method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200


@several
@pytest.mark.slow
def test_swaps_under_load_fail_no_request(tmp_path: Path, processes: int) -> None:
    """Each round another version, every other one with another encoder; each image once."""
    folder = tmp_path / "bundles"
    tiny_bundle(folder / "0", version="0")
    with served(folder, tmp_path / "log", processes=processes) as service:
        with Traffic(service.port) as traffic:
            wait_until(lambda: all_serve(service, processes))
            traffic.wait_for(20)
            for version in range(1, ROUNDS + 1):
                tiny_bundle(folder / str(version), version=str(version), graph_seed=version // 2)
                _reload(service)
                shutil.rmtree(folder / str(version - 1))
                traffic.wait_for(20)
        assert traffic.broken == []
        assert traffic.statuses.keys() == {200}
        assert {f"colours@{version}" for version in range(ROUNDS + 1)} == traffic.bundles.keys()
        found = scrape(service.port)
        assert total(found, "croft_images_received_total") == traffic.answered
        for reference, answers in traffic.bundles.items():
            of = {"version": reference.partition("@")[2], "outcome": "accepted"}
            assert total(found, "croft_images_total", **of) == answers


@several
@pytest.mark.slow
def test_ends_under_load_fail_no_request(bundle_path: Path, tmp_path: Path, processes: int) -> None:
    """Each request is answered, by a decision or by 503, until nobody listens; then exit 0."""
    for _ in range(ROUNDS):
        with (
            served(bundle_path, tmp_path / "log", processes=processes) as service,
            Traffic(service.port) as traffic,
        ):
            wait_until(lambda: all_serve(service, processes))
            traffic.wait_for(100)
            service.process.terminate()
            assert service.process.wait(30) == 0
        assert traffic.broken == []
        assert traffic.statuses.keys() <= {200, 503}
        assert traffic.statuses[503] > 0
