"""The report's pictures, as SVG that takes its colours from the page: light and dark alike.

Axes: N images, K classes.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training import metrics
from training.evaluate import KNOWN, SHIFTED, Evaluation, Row
from training.summary import scores

Figures = Mapping[str, Any]

# Matplotlib draws with stand-ins; the SVG then names the page's variables. Blue, sky, and the
# warm colours are Okabe & Ito's, which colour-blind readers can tell apart.
INK: Final = "#010203"
FAINT: Final = "#010204"
BLUE: Final = "#010205"
SKY: Final = "#010206"
PANEL: Final = "#01020b"
WARM: Final = ("#010207", "#010208", "#010209", "#01020a")
_VARIABLES: Final = {
    INK: "--ink",
    FAINT: "--faint",
    BLUE: "--known",
    SKY: "--shifted",
    PANEL: "--panel",
    **{colour: f"--unknown-{i}" for i, colour in enumerate(WARM, start=1)},
}
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "croft",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.labelsize": 11,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "hatch.linewidth": 0.8,
    "figure.facecolor": "none",
}
_WIDTH: Final = (
    5.6  # inches: text stays readable when a phone shrinks it, and is not huge on a desk
)
_NAMED_CLASSES: Final = 30  # more do not fit on the axes of a confusion matrix
_COUNTED_CLASSES: Final = 16  # more leave no room for numbers in its cells


def histograms(evaluation: Evaluation, *, score: str) -> str:
    """Draw one histogram of the score for each set, over one axis, with the threshold."""
    sets = set_titles(evaluation)
    edges = bin_edges(evaluation)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, title) in zip(panels, sets.items(), strict=True):
            _histogram(axes, evaluation, name, title=title, edges=edges)
        panels[0].annotate(
            f"threshold {evaluation.threshold.value:.2f}",
            (evaluation.threshold.value, 1.0),
            (4, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=10,
        )
        panels[-1].spines["bottom"].set_visible(True)
        panels[-1].tick_params(bottom=True)
        panels[-1].set_xlabel(f"{score}  (further right = more unusual; hatched = refused)")

    return _svg(draw, height=0.66 + 0.86 * len(sets), name="Histograms of the score by set")


def roc_curves(evaluation: Evaluation, figures: Figures) -> str:
    """Draw, for each set of unknown images, how many are caught at each price in known ones."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
        for name, colour in _unknown_colours(evaluation).items():
            for known, style, key in ((KNOWN, "-", "known"), (SHIFTED, (0, (4, 2)), "shifted")):
                _roc(axes, evaluation, (known, name), colour=colour, style=style)
                _operating_point(axes, figures, key, name, colour=colour)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set(xlabel="known images refused", ylabel="unknown images caught")
        _percent_ticks(axes.xaxis, axes.yaxis)
        axes.legend(loc="lower right", handlelength=2.4)

    return _svg(draw, height=4.4, name="ROC curves")


def domain_bars(figures: Figures) -> str:
    """Draw accuracy and refusal of known images by domain, with their intervals."""
    rows = domain_rows(figures)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, rows, "accuracy", title="right class, refused or not")
        _bars(right, rows, "refused", title="refused")
        alpha = figures["promise"]["alpha"]
        right.axvline(alpha, color=INK, linewidth=1, linestyle="--")
        left.set(xlim=(0, 1), xticks=(0, 0.25, 0.5, 0.75, 1))
        right.set_xlim(0, max(alpha * 2, *(part["refused"]["high"] for part in rows.values())))
        _percent_ticks(left.xaxis, right.xaxis)

    return _svg(draw, height=0.95 + 0.34 * len(rows), name="Accuracy and refusal by domain")


def confusion_matrix(evaluation: Evaluation) -> str:
    """Draw what known and unknown images were taken for; the last column is refusal."""
    rows, columns, counts = confusion_counts(evaluation)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.imshow(_tint(shares), interpolation="none", aspect="auto")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0)
        if len(columns) <= _NAMED_CLASSES:
            axes.set_xticks(
                range(len(columns)), [short(c) for c in columns], rotation=60, ha="right"
            )
            axes.xaxis.set_tick_params(rotation_mode="anchor")
            axes.set_yticks(range(len(rows)), [short(r) for r in rows])
        if len(columns) <= _COUNTED_CLASSES:
            _write_counts(axes, counts)
        axes.set(xlabel="answer", ylabel="truth")

    side = min(7.0, 2.2 + 0.3 * len(rows)) if len(columns) <= _NAMED_CLASSES else 5.0
    return _svg(draw, height=side, name="Confusion matrix")


def bin_edges(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return bins, one edge on the threshold, so that no bar is half refused."""
    all_N = scores(evaluation.rows)
    low, high = np.quantile(all_N, [0.002, 0.998])
    value = evaluation.threshold.value
    low, high = min(low, value), max(high, value)
    width = max((high - low) / 48, 1e-9)
    below, above = np.ceil((value - low) / width) + 1, np.ceil((high - value) / width) + 1
    return np.asarray(value + width * np.arange(-below, above + 1))


def bin_counts(
    rows: Sequence[Row], edges: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the accepted and the refused images of each bin; outliers go to the outermost."""
    refused_N = np.array([row.decision.rejected for row in rows])
    clipped_N = np.clip(scores(rows), (edges[0] + edges[1]) / 2, (edges[-2] + edges[-1]) / 2)
    # numpy's bins hold their left edge, but a score that equals the threshold is accepted.
    accepted, _ = np.histogram(np.nextafter(clipped_N[~refused_N], -np.inf), edges)
    refused, _ = np.histogram(clipped_N[refused_N], edges)
    return accepted, refused


def set_titles(evaluation: Evaluation) -> dict[str, str]:
    """Return the sets that have images, and what people call them."""
    titles = {KNOWN: "known, calibrated styles", SHIFTED: "known, other styles"}
    named = {name: f"unknown: {name}" for name in evaluation.unknown_sets}
    return {name: title for name, title in (titles | named).items() if evaluation.of(name)}


def domain_rows(figures: Figures) -> dict[str, Figures]:
    """Return the figures by domain; for data without domains those of the sets."""
    if figures["domains"]:
        return dict(figures["domains"])
    parts = {"known": (figures[KNOWN], True), "other styles": (figures[SHIFTED], False)}
    return {
        name: {"calibrated": calibrated, **part}
        for name, (part, calibrated) in parts.items()
        if part is not None
    }


def confusion_counts(evaluation: Evaluation) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Return row names (classes, then unknown sets), column names (classes, refused), counts."""
    unknown = {name: f"unknown: {name}" for name in evaluation.unknown_sets}
    rows = [*evaluation.classes, *unknown.values()]
    columns = [*evaluation.classes, "(refused)"]
    counts = metrics.confusion(
        [unknown.get(row.set, row.label) for row in evaluation.rows],
        [row.decision.label or "(refused)" for row in evaluation.rows],
        rows=rows,
        columns=columns,
    )
    return rows, columns, counts


def short(text: str, *, length: int = 18) -> str:
    """Cut a long name."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _histogram(
    axes: Axes, evaluation: Evaluation, name: str, *, title: str, edges: NDArray[np.float64]
) -> None:
    rows = evaluation.of(name)
    colour = {KNOWN: BLUE, SHIFTED: SKY, **_unknown_colours(evaluation)}[name]
    accepted, refused = bin_counts(rows, edges)
    styles: tuple[dict[str, Any], ...] = ({"color": colour}, {"color": "none", "hatch": "//////"})
    for counts, style in zip((accepted, refused), styles, strict=True):
        some = counts > 0
        left, width = edges[:-1][some], np.diff(edges)[some]
        axes.bar(left, counts[some], width, align="edge", linewidth=0.8, edgecolor=colour, **style)
    axes.set_ylim(0, 1.04 * max(1, accepted.max(), refused.max()))
    axes.axvline(evaluation.threshold.value, color=INK, linewidth=1.2)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False)
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_title(f"{title}  ({len(rows):,})", loc="left", fontsize=10.5, pad=2)
    axes.set_title(
        f"{100 * refused.sum() / len(rows):.1f} % refused", loc="right", fontsize=10.5, pad=2
    )


def _roc(
    axes: Axes, evaluation: Evaluation, pair: tuple[str, str], *, colour: str, style: Any
) -> None:
    known, unknown = (scores(evaluation.of(name)) for name in pair)
    if len(known) == 0:
        return
    x, y = metrics.roc(known, unknown)
    against = "known" if pair[0] == KNOWN else "other styles"
    label = f"{short(pair[1])} / {against}: {metrics.auroc(known, unknown):.3f}"
    axes.plot(x, y, color=colour, linestyle=style, linewidth=1.6, label=label)


def _operating_point(
    axes: Axes, figures: Figures, known: str, unknown: str, *, colour: str
) -> None:
    if figures[known] is not None:
        x = figures[known]["refused"]["rate"]
        y = figures["unknown"][unknown]["caught"]["rate"]
        axes.plot([x], [y], marker="o", markersize=5, color=colour, linestyle="none")


def _bars(axes: Axes, rows: Mapping[str, Figures], key: str, *, title: str) -> None:
    for place, part in enumerate(rows.values()):
        value = part[key]
        axes.barh(place, value["rate"], height=0.62, color=BLUE if part["calibrated"] else SKY)
        for colour, width in ((PANEL, 3.2), (INK, 1.2)):  # a halo, to be seen on the bar too
            axes.plot([value["low"], value["high"]], [place, place], color=colour, linewidth=width)
    axes.set_yticks(range(len(rows)), [short(name) for name in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.set_title(title, loc="left", fontsize=10.5)


def _tint(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return RGBA cells: blue where the answer is right, orange elsewhere, grey for refusals.

    A picture inside an SVG cannot take the page's colours; opacity carries the share instead.
    """
    rows, columns = shares.shape
    rgba = np.empty((rows, columns, 4))
    rgba[:] = to_rgba("#d55e00")
    rgba[:, -1] = to_rgba("#808080")
    rgba[np.arange(columns - 1), np.arange(columns - 1)] = to_rgba("#2f7fc1")
    rgba[columns - 1 :, -1] = to_rgba("#2f7fc1")  # refusing the unknown is right
    rgba[..., 3] = np.where(shares > 0, 0.12 + 0.88 * shares, 0.03)
    return rgba


def _write_counts(axes: Axes, counts: NDArray[np.int64]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8)


def _unknown_colours(evaluation: Evaluation) -> dict[str, str]:
    return {name: WARM[i % len(WARM)] for i, name in enumerate(evaluation.unknown_sets)}


def _percent_ticks(*axes: Any) -> None:
    for axis in axes:
        axis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")


def _svg(draw: Callable[[Figure], None], *, height: float, name: str) -> str:
    """Return the figure as an <svg> element to be put into a page."""
    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*"', r"<svg \1", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
