"""Rows -> one picture: how often a method is right, against how well unknown images stand out."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from training.comparison.judge import Row
from training.comparison.shift import SHIFTED
from training.comparison.summary import Estimate, distinct, headline, intervals_are, seeds_of
from training.comparison.table import (
    MEAN,
    SELECTED,
    about_auroc,
    accuracy_by_set,
    auroc_by_score,
    own_scoring,
    shared_scores,
)

Mark = dict[str, Any]
"""How matplotlib draws a method."""

# Okabe & Ito's colours, which colour-blind readers can tell apart; shapes for those who print grey.
_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
_SHAPES: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_STAR: Final[Mark] = {
    "color": "#000000",
    "marker": "*",
    "markersize": 13,
    "markerfacecolor": "#f0e442",
    "zorder": 5,
}
_STYLE: Final = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}


def write_picture(rows: Sequence[Row], path: Path) -> None:
    """Write the picture as PNG."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure_of(rows).savefig(path, dpi=150, metadata={"Software": None})


def figure_of(rows: Sequence[Row]) -> Figure:
    """Draw a panel for each score, a mark for each method; without scores accuracies alone.

    A method that brings its own score is the same star in every panel, to compare the others with.
    """
    return _scores_figure(rows) if distinct(rows, "score") else _accuracy_figure(rows)


def marks_of(methods: Sequence[str], *, stars: Sequence[str] = ()) -> dict[str, Mark]:
    """Return a colour and a shape for each method, no pair twice in 77.

    Every second one is hollow and larger: neighbours that come to the same are both seen.
    """
    return {name: _STAR if name in stars else _mark_of(i) for i, name in enumerate(methods)}


def _mark_of(index: int) -> Mark:
    colour = _COLOURS[index % len(_COLOURS)]
    return {
        "color": colour,
        "marker": _SHAPES[index % len(_SHAPES)],
        "markersize": 10 if index % 2 else 7,
        "markerfacecolor": "none" if index % 2 else colour,
    }


def _scores_figure(rows: Sequence[Row]) -> Figure:
    scores = shared_scores(rows) or [SELECTED]
    right, areas = accuracy_by_set(rows), auroc_by_score(rows)
    stars = own_scoring(rows)
    marks = marks_of(distinct(rows, "method"), stars=stars)
    columns = min(4, len(scores) + 1)  # one place is the legend's
    lines = math.ceil((len(scores) + 1) / columns)
    width, height = (2.9, 2.6) if lines > 1 else (4.2, 3.6)  # inches of a panel
    size = 1.2 + width * columns, 1.4 + height * lines
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    panels: list[Axes] = list(grid.ravel())
    panels[0].xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    for axes, score in zip(panels, scores, strict=False):
        axes.set_title(score, fontsize=11, loc="left")
        for method, mark in marks.items():
            column = SELECTED if method in stars else score
            _mark(axes, right[method, MEAN], areas[method, column], mark)
    for axes in panels[len(scores) :]:
        axes.axis("off")
    _label_outer(panels, columns, len(scores))
    panels[-1].legend(handles=_handles(marks, stars), loc="center", fontsize=10.5)
    figure.supxlabel(f"accuracy, %: {_about_accuracy(rows)}", fontsize=11)
    figure.supylabel(textwrap.fill(about_auroc(rows), int(9 * size[1])), fontsize=11)
    figure.suptitle(_caption(rows), fontsize=9.5, x=0.01, ha="left")
    return figure


def _mark(axes: Axes, x: Estimate, y: Estimate, mark: Mark) -> None:
    axes.errorbar(
        100 * x.mean,
        100 * y.mean,
        xerr=100 * x.half,
        yerr=100 * y.half,
        elinewidth=0.8,
        **mark,
    )


def _label_outer(panels: Sequence[Axes], columns: int, used: int) -> None:
    """Number the lowest panel of each column; below some there is only the legend."""
    for index, axes in enumerate(panels[:used]):
        axes.tick_params(labelbottom=index + columns >= used)


def _handles(marks: Mapping[str, Mark], stars: Sequence[str]) -> list[Line2D]:
    labels = {name: f"{name}, by the score\nit selected" for name in stars}
    return [
        Line2D([], [], linestyle="none", label=labels.get(name, name), **mark)
        for name, mark in marks.items()
    ]


def _about_accuracy(rows: Sequence[Row]) -> str:
    known = headline(rows)
    if len(known) == 1:
        return known[0]
    return f"mean of {len(known)} {'shifted ' if known[0].endswith(SHIFTED) else ''}known sets"


def _caption(rows: Sequence[Row]) -> str:
    return intervals_are(seeds_of(rows)).replace("±:", "Bars:").replace(". ", ".\n")


def _accuracy_figure(rows: Sequence[Row]) -> Figure:
    right = accuracy_by_set(rows)
    marks = marks_of(distinct(rows, "method"), stars=own_scoring(rows))
    figure = Figure(figsize=(7.5, 1.6 + 0.36 * len(marks)), layout="constrained")
    axes = figure.subplots()
    for place, (method, mark) in enumerate(marks.items()):
        found = right[method, MEAN]
        axes.errorbar(100 * found.mean, place, xerr=100 * found.half, **mark)
    axes.set_yticks(range(len(marks)), list(marks))
    axes.set_ylim(len(marks) - 0.5, -0.5)
    axes.set_xlabel(f"accuracy, %: {_about_accuracy(rows)}")
    figure.suptitle(_caption(rows), fontsize=9.5, x=0.01, ha="left")
    return figure
