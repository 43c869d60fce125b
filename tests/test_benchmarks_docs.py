"""docs/benchmarks.md shows what was measured."""

from pathlib import Path

import pytest

from benchmarks.features import accuracies, by_score, differences, load, selected

ROOT = Path(__file__).parents[1]
ROWS = load(ROOT / "benchmarks" / "results" / "features.json")
PAGE = (ROOT / "docs" / "benchmarks.md").read_text()


def test_accuracies_and_what_selection_reaches_are_the_measured_ones() -> None:
    """Cell by cell."""
    assert accuracies(ROWS) in PAGE
    assert selected(ROWS) in PAGE


def test_what_selection_gains_in_accuracy_is_the_measured_difference() -> None:
    """Against cross-entropy alone, one of its own candidates, and against the defaults."""
    assert differences(ROWS) in PAGE


@pytest.mark.parametrize("unknown", ["caltech101", "dtd10", "imagenet120"])
def test_every_score_is_the_measured_one(unknown: str) -> None:
    """AUROC, and what is missed."""
    assert by_score(ROWS, unknown, "auroc") in PAGE
    assert by_score(ROWS, unknown, "ood_miss_at_id_keep_95") in PAGE


def test_every_method_ran_with_every_seed_on_everything() -> None:
    """A run that was cut off is not shown as a whole one."""
    for method in {row["method"] for row in ROWS}:
        runs = {
            (row["seed"], row.get("domain") or row["shift"], row["open"])
            for row in ROWS
            if row["method"] == method
        }
        assert len(runs) == 3 * (4 * 2 + 4)
