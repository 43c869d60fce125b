"""docs/results.md shows what was measured, and what it claims follows from it."""

from pathlib import Path
from statistics import mean

from benchmarks.toybox import Result, load, table

ROOT = Path(__file__).parents[1]
RESULTS = load(ROOT / "benchmarks" / "results" / "toybox.json")


def average(method: str, field: str) -> float:
    """Return a method's mean over the seeds."""
    return mean(float(getattr(r, field)) for r in RESULTS if r.method == method)


def test_the_table_is_the_one_that_was_measured() -> None:
    """Not a digit typed by hand."""
    page = (ROOT / "docs" / "results.md").read_text()

    assert table(RESULTS) in page


def test_tuning_wins_under_shift_and_unknown_objects_stand_out() -> None:
    """The claims of the page: more accurate than zero-shot in new styles, AUROC at least 0.90."""
    assert len({r.seed for r in RESULTS}) == 3
    tuned, untuned = "prompt+adapter", "zero-shot"

    assert average(tuned, "accuracy_shifted") > average(untuned, "accuracy_shifted")
    assert average(tuned, "auroc_objects") >= 0.90
    assert average(tuned, "auroc_textures") >= 0.90


def test_false_rejections_lie_in_their_band() -> None:
    """Of the default method, for every seed, 99 % band."""

    def inside(r: Result) -> bool:
        return r.refused_least <= r.refused <= r.refused_most

    assert all(inside(r) for r in RESULTS if r.method == "prompt+adapter")
