"""A board and what Prometheus answered to its queries -> one picture.

Plain: the panels at their places, with their titles, units, names, colours and thresholds. It is
no copy of Grafana's looks. White behind everything, so that dark pages do not matter.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from benchmarks.boards.grafana import (
    COLOURS,
    Panel,
    Series,
    formatted,
    mapped,
    overrides,
    scale,
    threshold_colour,
)

Answers = Mapping[tuple[int, str], Sequence[Series]]
"""What was found, by the id of the panel and the ``refId`` of the query."""

_COLUMN: Final = 0.58
_ROW: Final = 0.36
_TOP: Final = 0.78
"""Inches: a cell of Grafana's grid, and what stands above all panels."""
_INK, _FAINT, _LINE = "#1f2328", "#59636e", "#d1d9e0"
# Okabe & Ito's colours, which colour-blind readers can tell apart; yellow is too pale on white.
_PALETTE: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
_STYLE: Final = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#ebeef1",
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _FAINT,
    "ytick.labelcolor": _FAINT,
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True)
class Box:
    """Where a panel is, in inches from the lower left corner of the picture."""

    figure: Figure
    left: float
    bottom: float
    width: float
    height: float

    def axes(self, *, left: float, bottom: float, right: float, top: float) -> Axes:
        """Return axes inside, with these margins in inches."""
        width, height = self.figure.get_size_inches()
        return self.figure.add_axes(
            (
                (self.left + left) / width,
                (self.bottom + bottom) / height,
                (self.width - left - right) / width,
                (self.height - bottom - top) / height,
            )
        )

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write at inches from the lower left corner of the panel."""
        width, height = self.figure.get_size_inches()
        self.figure.text((self.left + x) / width, (self.bottom + y) / height, text, **style)

    def line(self, start: float, end: float, y: float, *, color: str, dashed: bool) -> None:
        """Draw a short level line, at inches from the lower left corner of the panel."""
        width, height = self.figure.get_size_inches()
        xs = [(self.left + x) / width for x in (start, end)]
        ys = [(self.bottom + y) / height] * 2
        style = (0, (2.5, 1.5)) if dashed else "solid"
        self.figure.add_artist(Line2D(xs, ys, color=color, linewidth=2, linestyle=style))

    def frame(self) -> None:
        """Draw a line around it."""
        width, height = self.figure.get_size_inches()
        place = (self.left / width, self.bottom / height)
        shape = FancyBboxPatch(
            place,
            self.width / width,
            self.height / height,
            boxstyle="square,pad=0",
            facecolor="none",
            edgecolor=_LINE,
        )
        self.figure.add_artist(shape)


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is shown, in seconds since 1970."""

    start: float
    end: float

    def since(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return seconds since the start."""
        return times - self.start


def draw_board(board: Mapping[str, Any], answers: Answers, span: Span, *, note: str) -> Figure:
    """Return a picture of the board, with ``note`` under its title.

    Raises:
        ValueError: a panel is of a type, or has a unit, that cannot be drawn here.
    """
    panels = board["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        height = rows * _ROW + _TOP
        figure = Figure(figsize=(24 * _COLUMN, height), dpi=100, facecolor="white")
        whole = Box(figure, 0, height - _TOP, 24 * _COLUMN, _TOP)
        whole.text(0.08, 0.5, board["title"], fontsize=14, fontweight="bold")
        whole.text(0.08, 0.13, note, fontsize=9, color=_FAINT, linespacing=1.4)
        for panel in panels:
            targets = [target["refId"] for target in panel["targets"]]
            found = [one for ref in targets for one in answers[panel["id"], ref]]
            _draw_panel(_box(figure, panel["gridPos"], rows), panel, found, span)
    return figure


def _box(figure: Figure, place: Mapping[str, int], rows: int) -> Box:
    gap = 0.05
    return Box(
        figure,
        left=place["x"] * _COLUMN + gap,
        bottom=(rows - place["y"] - place["h"]) * _ROW + gap,
        width=place["w"] * _COLUMN - 2 * gap,
        height=place["h"] * _ROW - 2 * gap,
    )


def _draw_panel(box: Box, panel: Panel, found: Sequence[Series], span: Span) -> None:
    if panel["type"] not in DRAW:
        raise ValueError(f"No way to draw a {panel['type']}: {panel['title']}. Add it to DRAW.")
    box.frame()
    box.text(0.1, box.height - 0.21, panel["title"], fontsize=9.5, fontweight="bold")
    if found:
        DRAW[panel["type"]](box, panel, found, span)
    else:
        _nothing(box, panel)


def _nothing(box: Box, panel: Panel) -> None:
    """Write what Grafana shows in place of values."""
    says = panel["fieldConfig"]["defaults"]["noValue"]
    style = {"ha": "center", "va": "center", "color": _FAINT, "fontsize": 11}
    box.text(box.width / 2, box.height / 2 - 0.1, says, **style)


def _shown(panel: Panel, value: float) -> tuple[str, str]:
    """Return a value as text, and its colour."""
    defaults = panel["fieldConfig"]["defaults"]
    text = formatted(value, defaults["unit"], decimals=defaults.get("decimals"))
    return mapped(panel, value) or (text, threshold_colour(panel, value))


def _stat(box: Box, panel: Panel, found: Sequence[Series], span: Span) -> None:
    if panel["options"]["graphMode"] == "area":
        _sparkline(box, panel, found[0], span)
    height = (box.height - 0.35) / len(found)
    for place, one in enumerate(found):
        text, colour = _shown(panel, one.last)
        y = box.height - 0.3 - (place + 0.5) * height
        style = {"ha": "center", "va": "center"}
        if len(found) == 1:
            box.text(box.width / 2, y, text, fontsize=20, color=colour, **style)
        else:
            box.text(0.2, y, one.name, fontsize=10, va="center")
            box.text(0.55 * box.width, y, text, fontsize=16, color=colour, **style)


def _sparkline(box: Box, panel: Panel, one: Series, span: Span) -> None:
    axes = box.axes(left=0, bottom=0, right=0, top=box.height * 0.68)
    axes.axis("off")
    _, colour = _shown(panel, one.last)
    axes.fill_between(span.since(one.times_N), one.values_N, color=colour, alpha=0.2, linewidth=0)
    axes.set_xlim(0, span.end - span.start)
    axes.set_ylim(0, max(1e-9, 1.3 * one.values_N.max()))


def _timeseries(box: Box, panel: Panel, found: Sequence[Series], span: Span) -> None:
    lines = _legend_lines([one.name for one in found], box.width)
    axes = box.axes(left=0.72, bottom=0.3 + 0.16 * len(lines), right=0.15, top=0.35)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    styles = [_line_style(panel, one.name, place) for place, one in enumerate(found)]
    if custom["stacking"]["mode"] == "normal":
        _stack(axes, found, styles, span, opacity=custom["fillOpacity"] / 100)
    else:
        for one, style in zip(found, styles, strict=True):
            width = 0.75 * custom["lineWidth"]
            axes.plot(span.since(one.times_N), one.values_N, linewidth=width, **style)
    _limits(axes, panel)
    _time_axis(axes, span)
    _value_axis(axes, panel)
    _legend(box, found, styles, lines)


def _line_style(panel: Panel, name: str, place: int) -> dict[str, Any]:
    chosen = overrides(panel, name)
    style: dict[str, Any] = {"color": _PALETTE[place % len(_PALETTE)]}
    if "color" in chosen:
        style["color"] = COLOURS[chosen["color"]["fixedColor"]]
    if "custom.lineStyle" in chosen:
        style["linestyle"] = (0, (4, 3))
    return style


def _stack(
    axes: Axes,
    found: Sequence[Series],
    styles: Sequence[Mapping[str, Any]],
    span: Span,
    *,
    opacity: float,
) -> None:
    """Draw series one on top of the other; where one has no sample it adds nothing."""
    times = np.unique(np.concatenate([one.times_N for one in found]))
    below = np.zeros(len(times))
    for one, style in zip(found, styles, strict=True):
        above = below.copy()
        above[np.searchsorted(times, one.times_N)] += one.values_N
        seconds, colour = span.since(times), style["color"]
        axes.fill_between(seconds, below, above, color=colour, alpha=opacity, linewidth=0)
        below = above


def _limits(axes: Axes, panel: Panel) -> None:
    """Draw thresholds as lines, where the panel asks for that."""
    defaults = panel["fieldConfig"]["defaults"]
    if "thresholdsStyle" not in defaults["custom"]:
        return
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None:
            axes.axhline(step["value"], color=COLOURS[step["color"]], linewidth=1, linestyle="--")


def _time_axis(axes: Axes, span: Span) -> None:
    length = span.end - span.start
    axes.set_xlim(0, length)
    axes.set_xticks(np.arange(0, length, 30 if length < 400 else 60))
    axes.xaxis.set_major_formatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}")
    axes.tick_params(length=0, labelsize=8)
    axes.tick_params(axis="x", pad=6)


def _value_axis(axes: Axes, panel: Panel) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if "min" in defaults:
        low = defaults["min"]
        high = high if high > low else 1  # nothing but zeros
        axes.set_ylim(low, high + 0.05 * (high - low))
    size, _ = scale(high, defaults["unit"])
    ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low / size, high / size) * size
    bottom, top = axes.get_ylim()
    axes.set_yticks(ticks[(ticks >= bottom) & (ticks <= top)])
    axes.yaxis.set_major_formatter(lambda value, _: formatted(value, defaults["unit"]))


def _legend_lines(names: Sequence[str], width: float) -> list[list[int]]:
    """Return the places of the names, line by line, as many in each as fit."""
    lines: list[list[int]] = [[]]
    used = 0.0
    for place, name in enumerate(names):
        if lines[-1] and used + _name_width(name) > width - 0.2:
            lines.append([])
            used = 0.0
        lines[-1].append(place)
        used += _name_width(name)
    return lines


def _name_width(name: str) -> float:
    return 0.48 + 0.07 * len(name)


def _legend(
    box: Box,
    found: Sequence[Series],
    styles: Sequence[Mapping[str, Any]],
    lines: Sequence[Sequence[int]],
) -> None:
    for row, line in enumerate(lines):
        x, y = 0.15, 0.11 + 0.16 * (len(lines) - 1 - row)
        for place in line:
            name, dashed = found[place].name, "linestyle" in styles[place]
            box.line(x, x + 0.25, y, color=styles[place]["color"], dashed=dashed)
            box.text(x + 0.31, y, name, color=_INK, fontsize=8, va="center")
            x += _name_width(name)


def _bargauge(box: Box, panel: Panel, found: Sequence[Series], span: Span) -> None:
    del span
    longest = max(len(one.name) for one in found)
    axes = box.axes(left=0.3 + 0.073 * longest, bottom=0.1, right=0.75, top=0.35)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    top = max(1e-9, *(one.last for one in found))
    for place, one in enumerate(found):
        text, colour = _shown(panel, one.last)
        axes.barh(place, top, color="#f2f4f6", height=0.72)
        axes.barh(place, max(0.0, one.last), color=colour, height=0.72)
        axes.text(1.01 * top, place, text, va="center", color=colour)
    axes.set_xlim(0, top)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(range(len(found)), [one.name for one in found])
    axes.tick_params(length=0)


def _heatmap(box: Box, panel: Panel, found: Sequence[Series], span: Span) -> None:
    rows = sorted(found, key=lambda one: float(one.labels["le"]))
    times = rows[0].times_N
    counts_BT = np.diff([one.values_N for one in rows], axis=0, prepend=0).clip(min=0)
    axes = box.axes(left=0.72, bottom=0.3, right=0.85, top=0.35)
    axes.grid(visible=False)
    step = float(np.diff(times).min())
    edges = np.append(span.since(times) - step, span.since(times)[-1])
    scheme = panel["options"]["color"]["scheme"]
    mesh = axes.pcolormesh(edges, np.arange(len(rows) + 1), counts_BT, cmap=scheme, vmin=0)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [one.name for one in rows])
    _time_axis(axes, span)
    width, height = box.figure.get_size_inches()
    bar = box.figure.add_axes(
        (
            (box.left + box.width - 0.75) / width,
            (box.bottom + 0.4) / height,
            0.1 / width,
            (box.height - 0.9) / height,
        )
    )
    unit = panel["fieldConfig"]["defaults"]["unit"]
    box.figure.colorbar(mesh, cax=bar, format=lambda value, _: formatted(value, unit))
    bar.tick_params(length=0, labelsize=8)


def _table(box: Box, panel: Panel, found: Sequence[Series], span: Span) -> None:
    del span
    titles, rows = _merged(found)
    widths = np.array([max(len(_cell(panel, t, row.get(t, ""))) for row in rows) for t in titles])
    widths = np.maximum(widths, [len(title) for title in titles]) + 3
    starts = 0.15 + (np.cumsum(widths) - widths) / widths.sum() * (box.width - 0.3)
    y = box.height - 0.5
    for start, title in zip(starts, titles, strict=True):
        box.text(start, y, title, fontsize=9, color=_FAINT, va="center")
    for number, row in enumerate(rows, start=1):
        for start, title in zip(starts, titles, strict=True):
            text = _cell(panel, title, row.get(title, ""))
            box.text(start, y - 0.25 * number, text, fontsize=9, va="center")


def _merged(found: Sequence[Series]) -> tuple[list[str], list[dict[str, str | float]]]:
    """Return titles of columns and rows: series with the same labels are one row."""
    rows: dict[tuple[tuple[str, str], ...], dict[str, str | float]] = {}
    for one in found:
        row = rows.setdefault(tuple(sorted(one.labels.items())), dict(one.labels))
        row[one.column] = one.last
    labels = dict.fromkeys(key for one in found for key in sorted(one.labels))
    return [*labels, *dict.fromkeys(one.column for one in found)], list(rows.values())


def _cell(panel: Panel, title: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    unit = overrides(panel, title).get("unit", panel["fieldConfig"]["defaults"]["unit"])
    return formatted(value, unit) if math.isfinite(value) else ""


DRAW: Final[dict[str, Callable[[Box, Panel, Sequence[Series], Span], None]]] = {
    "stat": _stat,
    "timeseries": _timeseries,
    "bargauge": _bargauge,
    "heatmap": _heatmap,
    "table": _table,
}
"""How each type of panel is drawn."""
