"""docs/serving-benchmarks.md shows what was measured."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "serving-benchmarks.md").read_text()


def _results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())


def test_the_page_shows_the_committed_run_of_damaged_images() -> None:
    """Every status and outcome, of a run as large as promised and without a violation."""
    found = _results("fuzz.json")
    counts = ", ".join(f"{n:,} {status}" for status, n in found["statuses"].items())
    outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in found["outcomes"].items() if n)
    assert f"{found['requests']:,} requests in {found['seconds']:.0f} s: {counts}." in PAGE
    assert f"The service received {found['received']:,} images: {outcomes}." in PAGE
    assert (found["requests"] >= 20_000, found["violations"]) == (True, [])
