"""The picture: every method and score is where its figures are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from PIL import Image

from tests.training.comparison.problems import own_rows, rows, without_unknown
from training.baselines.methods import METHODS
from training.comparison.picture import figure_of, marks_of, write_picture
from training.comparison.table import MEAN, accuracy_by_set, auroc_by_score


def centres(axes: Axes) -> list[tuple[float, float]]:
    """Return where the marks of a panel are, to a tenth."""
    bars = [bar for bar in axes.containers if isinstance(bar, ErrorbarContainer)]
    points = [np.asarray(bar.lines[0].get_xydata(), dtype=float)[0] for bar in bars]
    return [(round(x, 1), round(y, 1)) for x, y in points]


def test_a_panel_for_each_score_has_a_mark_for_each_method() -> None:
    """Accuracy to the right, AUROC upwards, both under shift."""
    panels = figure_of(rows(methods=3)).axes

    assert [axes.get_title(loc="left") for axes in panels[:2]] == ["score 0", "score 1"]
    assert centres(panels[0]) == [(52, 61), (55, 63), (58, 65)]
    assert centres(panels[1]) == [(52, 64), (55, 66), (58, 68)]


def test_bars_are_as_long_as_the_intervals() -> None:
    """To both sides, along both axes."""
    made = rows(methods=1, scores=1)
    (panel, *_) = figure_of(made).axes
    (bar,) = [bar for bar in panel.containers if isinstance(bar, ErrorbarContainer)]
    ends = [np.ptp(lines.get_segments()[0], axis=0).max() for lines in bar.lines[2]]

    halves = [
        accuracy_by_set(made)["method 0", MEAN].half,
        auroc_by_score(made)["method 0", "score 0"].half,
    ]
    assert ends == pytest.approx([200 * half for half in halves])
    assert halves[0] != pytest.approx(halves[1], rel=0.1)


def test_the_legend_names_every_method_and_the_axes_say_what_they_are() -> None:
    """And a sentence what the bars are."""
    figure = figure_of(rows(methods=3))
    legend = figure.axes[-1].get_legend()

    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["method 0", "method 1", "method 2"]
    assert figure.get_supxlabel() == "accuracy, %: mean of 2 shifted known sets"
    upwards = " ".join(figure.get_supylabel().split())
    assert upwards == "AUROC, %: mean of 2 unknown sets against 2 shifted known sets"
    assert "95 % interval" in figure.get_suptitle()


@pytest.mark.parametrize("scores", [1, 3, 4, 11])
def test_the_legend_has_a_place_of_its_own(scores: int) -> None:
    """However many panels there are."""
    panels = figure_of(rows(scores=scores)).axes

    assert centres(panels[scores - 1])
    assert not centres(panels[-1])
    assert panels[-1].get_legend() is not None


def test_without_unknown_sets_it_shows_accuracies() -> None:
    """One line for each method."""
    (axes,) = figure_of(without_unknown(rows())).axes

    assert centres(axes) == [(52, 0), (55, 1)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["method 0", "method 1"]


def test_every_method_has_a_mark_of_its_own() -> None:
    """More than all that there are."""
    marks = marks_of([*METHODS, *(f"another {i}" for i in range(20))])

    seen = {(mark["color"], mark["marker"]) for mark in marks.values()}
    assert len(seen) == len(METHODS) + 20


def test_a_method_with_its_own_score_is_the_same_star_in_every_panel() -> None:
    """The legend says what it is; the scores that it selected have no panels."""
    made = [*rows(), *own_rows("knn", "energy", "knn")]
    panels = figure_of(made).axes
    legend = panels[-1].get_legend()
    stars = [[line.get_marker() for line in axes.lines].count("*") for axes in panels]

    assert [axes.get_title(loc="left") for axes in panels] == ["score 0", "score 1", ""]
    assert centres(panels[0]) == [(52, 61), (55, 63), (62, 80)]
    assert centres(panels[1]) == [(52, 64), (55, 66), (62, 80)]
    assert stars == [1, 1, 0]
    assert legend is not None
    names = [" ".join(text.get_text().split()) for text in legend.get_texts()]
    assert names == ["method 0", "method 1", "auto, by the score it selected"]


def test_alone_it_has_a_panel() -> None:
    """And without unknown sets a line, with the same star."""
    alone = own_rows("knn", "energy", "knn")
    panels = figure_of(alone).axes
    (axes,) = figure_of(without_unknown([*rows(), *alone])).axes

    assert panels[0].get_title(loc="left") == "selected"
    assert centres(panels[0]) == [(62, 80)]
    assert centres(axes) == [(52, 0), (55, 1), (62, 2)]
    assert axes.lines[-1].get_marker() == "*"


def test_it_is_written_as_png(tmp_path: Path) -> None:
    """The same rows give the same bytes."""
    for name in ("a.png", "b.png"):
        write_picture(rows(), tmp_path / name)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 500
