"""The pages show what was measured of the service.

After a new run of a benchmark: python -m tests.test_serving_benchmarks_docs
"""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fuzz, many_bundles, overload, serving_table

ROOT = Path(__file__).parents[1]
SERVING = ("serving-tiny", "serving-small")
PAGES = {
    **dict.fromkeys((*SERVING, "overload", "fuzz"), ROOT / "docs" / "serving-benchmarks.md"),
    "many_bundles": ROOT / "docs" / "deploy.md",
}


def _results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def _shown(name: str) -> str:
    """Return what the page shows of a benchmark's results."""
    found = _results(name)
    if name in SERVING:
        parts = serving_table.table(found), serving_table.loop_line(found)
        return "\n\n".join((*parts, serving_table.verdicts(found)))
    if name == "fuzz":
        return fuzz.summary(found)
    return overload.table(found) if name == "overload" else many_bundles.table(found)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_the_committed_run(name: str) -> None:
    """Every figure and every verdict, also where a target was missed."""
    assert f"<!-- {name} -->\n{_shown(name)}\n<!-- /{name} -->" in PAGES[name].read_text()


@pytest.mark.parametrize("name", SERVING)
def test_every_server_was_measured_under_every_load_as_often(name: str) -> None:
    """A run that was cut off is not shown as a whole one."""
    rows = _results(name)
    runs = {(row["server"], row["clients"], row["repeat"]) for row in rows}
    assert len(rows) == len(runs) == 6 * 3 * 3


def test_the_run_of_damaged_images_was_whole_and_without_violation() -> None:
    """As many as are promised."""
    found = _results("fuzz")
    assert (found["requests"] >= 20_000, found["violations"]) == (True, [])


def _write() -> None:
    for name, page in PAGES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = page.read_text().partition(begin)
        page.write_text(f"{before}{begin}{_shown(name)}\n{end}{rest.partition(end)[2]}")


if __name__ == "__main__":
    _write()
