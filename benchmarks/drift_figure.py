"""The picture of docs/monitoring.md: what the rules saw of the stream, and what fired."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.backfill import STEP_SECONDS, Backfilled, Firing

_BLUE, _GREY, _RED, _SHADE = "#0072b2", "#777777", "#d55e00", "#f4ece0"


class Phase(Protocol):
    """What the picture needs of a phase."""

    @property
    def name(self) -> str:
        """Its title."""

    @property
    def hours(self) -> int:
        """Its length."""

    @property
    def alerts(self) -> bool:
        """Whether somebody should be told."""


def draw(prometheus: Backfilled, fired: Sequence[Firing], phases: Sequence[Phase]) -> str:
    """Return the picture as SVG."""
    with mpl.rc_context({"svg.hashsalt": "croft", "font.size": 10, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 8), layout="constrained")
        rate, distance, alerts = figure.subplots(3, 1, sharex=True)
        _rejection(rate, prometheus)
        _distance(distance, prometheus)
        _alerts(alerts, fired)
        alerts.set_xlabel("hours")
        for axes in (rate, distance, alerts):
            _shade(axes, phases, named=axes is rate)
            axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, facecolor="white")
    return text.getvalue()


def _rejection(axes: Axes, prometheus: Backfilled) -> None:
    _line(axes, prometheus, "bundle:croft_rejection:ratio1h", color=_BLUE, label="rejected")
    _line(axes, prometheus, "bundle:croft_rejection_expected:ratio", color=_GREY, label="expected")
    lower, upper = (
        _values(prometheus, f"bundle:croft_rejection_{edge}:ratio1h") for edge in ("lower", "upper")
    )
    axes.fill_between(
        _hours(lower), lower, upper, color=_GREY, alpha=0.25, label="band", linewidth=0
    )
    axes.set_ylabel("share rejected, last hour")
    axes.set_ylim(0, 0.3)
    axes.legend(loc="upper left", frameon=False)


def _distance(axes: Axes, prometheus: Backfilled) -> None:
    name = "bundle:croft_p_value_distance"
    _line(axes, prometheus, f"{name}:max1h", color=_BLUE, label="distance of p-values")
    _line(axes, prometheus, f"{name}_limit:max1h", color=_RED, linestyle="--", label="limit")
    axes.set_ylabel("distance from known images")
    axes.set_ylim(0, 0.5)
    axes.legend(loc="upper left", frameon=False)


def _alerts(axes: Axes, fired: Sequence[Firing]) -> None:
    names = list(dict.fromkeys(firing.alert for firing in fired))[::-1]
    for firing in fired:
        begins, ends = firing.begins / 3600, firing.ends / 3600
        axes.barh(names.index(firing.alert), ends - begins, left=begins, color=_RED, height=0.5)
    axes.set_yticks(range(len(names)), [name.removeprefix("Croft") for name in names])
    axes.set_ylim(-0.6, max(1, len(names)) - 0.4)
    axes.set_ylabel("fires")


def _shade(axes: Axes, phases: Sequence[Phase], *, named: bool) -> None:
    begins = 0
    for phase in phases:
        if phase.alerts:
            axes.axvspan(begins, begins + phase.hours, color=_SHADE, zorder=0)
        axes.axvline(begins, color="white", linewidth=1.5, zorder=0)
        if named:
            middle, title = begins + phase.hours / 2, textwrap.fill(phase.name, 8)
            frame = axes.get_xaxis_transform()
            axes.text(middle, 1.02, title, ha="center", va="bottom", transform=frame)
        begins += phase.hours
    axes.set_xlim(0, begins)


def _line(axes: Axes, prometheus: Backfilled, expression: str, **style: Any) -> None:
    values = _values(prometheus, expression)
    axes.plot(_hours(values), values, **style)


def _values(prometheus: Backfilled, expression: str) -> NDArray[np.float64]:
    (values,) = prometheus.series(expression).values()
    return values


def _hours(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.arange(len(values)) * STEP_SECONDS / 3600
