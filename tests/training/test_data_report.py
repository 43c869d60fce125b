"""The report on the data: counts, warnings and what was left out, as lines for people."""

from dataclasses import replace
from pathlib import Path

from training.data_report import DataReport, Unreadable, count_images


def _report(counts: dict[str, dict[str, int]]) -> DataReport:
    return DataReport(
        root=Path("/photos"),
        counts=counts,
        empty=(),
        unreadable=(),
        duplicates=(),
        conflicts=(),
        ignored={},
        notes=(),
    )


def test_counts_have_a_zero_where_a_domain_lacks_a_class() -> None:
    """So that the table is complete."""
    counts = count_images(["a", "b"], [("a", "photo"), ("a", "sketch"), ("b", "photo")])

    assert counts == {"a": {"photo": 1, "sketch": 1}, "b": {"photo": 1, "sketch": 0}}


def test_a_clean_data_set_is_a_table_and_nothing_else() -> None:
    """No finding, no line about it."""
    assert _report({"cat": {"": 40}, "zebra": {"": 50}}).lines() == [
        "90 usable images, 2 classes in photos",
        "  class   total",
        "  cat        40",
        "  zebra      50",
    ]


def test_domains_are_columns() -> None:
    """With the total last, columns aligned."""
    report = _report({"cat": {"art_painting": 20, "photo": 21}})

    assert report.lines() == [
        "41 usable images, 1 classes, 2 domains (art_painting, photo) in photos",
        "  class  art_painting   photo   total",
        "  cat              20      21      41",
    ]


def test_thin_and_unequal_classes_are_warned_about() -> None:
    """Both with their numbers."""
    report = _report({"cat": {"": 100}, "dog": {"": 19}, "owl": {"": 20}})

    assert report.thin == ("dog",)
    assert "Thin classes, fewer than 20 images: dog (19)." in report.lines()
    assert any("5.3 times" in line for line in report.lines())


def test_long_lists_are_cut_off() -> None:
    """400 classes and 7 broken files are summed up, not printed."""
    report = replace(
        _report({f"c{i:03}": {"": 20} for i in range(400)}),
        unreadable=tuple(
            Unreadable(path=Path(f"/photos/{i}.jpg"), reason="empty") for i in range(7)
        ),
    )

    lines = report.lines()

    assert "  ... and 370 more classes" in lines
    assert "Left out, not decodable: 7" in lines
    assert lines[-6:] == [*(f"  {i}.jpg: empty" for i in range(5)), "  ... and 2 more"]
    assert len(lines) == 40
