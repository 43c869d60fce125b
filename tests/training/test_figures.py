"""training.figures: drawn as SVG, and read back."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from models.threshold import Threshold
from tests.training.test_summary import THRESHOLD, evaluation, row
from training import figures as drawn
from training.evaluate import KNOWN, SHIFTED, Evaluation
from training.summary import summarize

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def judged() -> Evaluation:
    """Return known, shifted and unknown images; one name must be escaped."""
    return evaluation(
        *(row(KNOWN, float(s), domain="photo") for s in range(12)),
        row(KNOWN, 1.0, domain="photo", right=False),
        *(row(SHIFTED, float(s), domain="sketch") for s in range(4, 14)),
        *(row("this & <that>", float(s), label="guitar") for s in range(8, 20)),
    )


def texts(svg: str) -> list[str]:
    """Parse an SVG element, and return all its text."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def test_histograms_say_how_many_of_each_set_are_refused(judged: Evaluation) -> None:
    """One panel a set, and the threshold's value."""
    found = texts(drawn.histograms(judged, score="energy"))

    assert "known, calibrated styles  (13)" in found
    assert "7.7 % refused" in found  # 11 of 0..11: one of 13
    assert "known, other styles  (10)" in found
    assert "30.0 % refused" in found  # 11, 12, 13 of 4..13
    assert "unknown: this & <that>  (12)" in found
    assert "75.0 % refused" in found  # 11..19 of 8..19
    assert "threshold 10.00" in found


def test_every_image_is_in_a_histogram_bar(judged: Evaluation) -> None:
    """No outlier falls off the axis, and none on the threshold is drawn as refused."""
    edges = drawn.bin_edges(judged)
    for name in (KNOWN, SHIFTED, "this & <that>"):
        accepted, refused = drawn.bin_counts(judged.of(name), edges)
        rows = judged.of(name)
        assert accepted.sum() == sum(not r.decision.rejected for r in rows)
        assert refused.sum() == sum(r.decision.rejected for r in rows)
        right_of_line = edges[:-1] >= THRESHOLD.value - 1e-9
        assert accepted[right_of_line].sum() == 0
        assert refused[~right_of_line].sum() == 0


def test_roc_curves_name_what_is_compared_and_their_area(judged: Evaluation) -> None:
    """One curve for each unknown set against known, and one against shifted images."""
    figures = summarize(judged)
    against = figures["unknown"]["this & <that>"]

    found = texts(drawn.roc_curves(judged, figures))

    known, shifted = (against[f"against_{k}"]["all"]["auroc"] for k in ("known", "shifted"))
    assert f"this & <that> / known: {known:.3f}" in found
    assert f"this & <that> / other styles: {shifted:.3f}" in found


def test_domain_bars_name_the_domains(judged: Evaluation) -> None:
    """Or the sets, in data without domains."""
    assert {"photo", "sketch"} <= set(texts(drawn.domain_bars(summarize(judged))))
    plain = summarize(evaluation(row(KNOWN, 1.0)))
    assert "known" in texts(drawn.domain_bars(plain))


def test_the_confusion_matrix_has_a_row_for_unknown_and_a_column_for_refused(
    judged: Evaluation,
) -> None:
    """Counts are written in the cells."""
    rows, columns, counts = drawn.confusion_counts(judged)

    assert rows == ["cup", "hat", "unknown: this & <that>"]
    assert columns == ["cup", "hat", "(refused)"]
    np.testing.assert_array_equal(counts, [[11 + 7, 1, 1 + 3], [0, 0, 0], [3, 0, 9]])
    found = texts(drawn.confusion_matrix(judged))
    assert {"18", "9", "cup", "(refused)"} <= set(found)


def test_many_classes_are_drawn_without_names() -> None:
    """400 labels on an axis would be a grey bar."""
    classes = tuple(f"class {i}" for i in range(400))
    judged = Evaluation((row(KNOWN, 1.0, label="class 7"),), THRESHOLD, ("cup", *classes), {})

    found = texts(drawn.confusion_matrix(judged))

    assert not any(text.startswith("class") for text in found)
    assert "truth" in found


def test_pictures_take_their_colours_from_the_page(judged: Evaluation) -> None:
    """No stand-in is left; all ink is a variable, so that a dark page can change it."""
    figures = summarize(judged)
    for svg in (
        drawn.histograms(judged, score="energy"),
        drawn.roc_curves(judged, figures),
        drawn.domain_bars(figures),
        drawn.confusion_matrix(judged),
    ):
        assert not re.search("#0102", svg)
        assert "var(--ink)" in svg
        assert 'role="img" aria-label="' in svg
        assert "<metadata>" not in svg


def test_pictures_are_the_same_every_time(judged: Evaluation) -> None:
    """A report written twice is the same report."""
    assert drawn.histograms(judged, score="energy") == drawn.histograms(judged, score="energy")


def test_scores_that_are_all_equal_can_be_drawn() -> None:
    """Even at the threshold itself."""
    threshold = Threshold(method="conformal", alpha=0.5, delta=None, n=1, rank=1, value=1.0)
    judged = Evaluation((row(KNOWN, 1.0), row(KNOWN, 1.0)), threshold, ("cup", "hat"), {})

    assert "0.0 % refused" in texts(drawn.histograms(judged, score="energy"))
