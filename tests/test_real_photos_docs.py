"""docs/real-photos.md shows what was measured."""

import json
from pathlib import Path

import pytest

from benchmarks.real_photos import METHODS, Result, table

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["real-pacs", "real-grocery"])
def test_the_tables_are_the_measured_ones(name: str) -> None:
    """Every row, and every count of refused images, comes from the stored results."""
    stored = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    page = (ROOT / "docs" / "real-photos.md").read_text()
    results = [Result(**entry) for entry in stored]

    for line in table(results).splitlines():
        assert line in page or line.startswith("|---")
    for method in METHODS:
        rows = [result.refused for result in results if result.method == method]
        counts = ", ".join("{} of {} ({}-{})".format(*row) for row in rows)
        assert f"| {method} | {counts} |" in page
