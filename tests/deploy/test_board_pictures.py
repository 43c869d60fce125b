"""The pictures of the boards: every panel is drawn as it asks to be, and the docs show them."""

import re
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import Collection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from benchmarks.boards.drawing import Answers, Span, draw_board
from benchmarks.boards.grafana import COLOURS, Series, formatted, named, substitute
from benchmarks.dashboards import BROKEN, PER_SECOND, PHASES, note, plan
from croft.demo import CALIBRATED, SHIFTED
from tests.deploy.files import DASHBOARDS, ROOT, boards, panels
from training.toybox.images import KNOWN, UNKNOWN

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
SPAN = Span(1000.0, 1060.0)
MONITORING = (ROOT / "docs/monitoring.md").read_text()


def _found(target: dict[str, Any], value: float, **labels: str) -> Series:
    """Return made-up samples, one every ten seconds; one alone if the query is instant."""
    moments = [1060.0] if target["instant"] else np.arange(1000.0, 1061.0, 10.0).tolist()
    answer = {"metric": labels, "values": [[moment, str(value)] for moment in moments]}
    return named(target, [answer])[0]


def _answers(board: dict[str, Any], value: float = 0.5) -> Answers:
    """Return one series for each query; for a heatmap three buckets."""
    return {
        (panel["id"], target["refId"]): [
            _found(target, value * (i + 1), le=edge, instance="a:1", bundle="b", version="3")
            for i, edge in enumerate(("0.1", "0.5", "+Inf") if panel["type"] == "heatmap" else "1")
        ]
        for panel in board["panels"]
        for target in panel["targets"]
    }


def _alone(title: str) -> dict[str, Any]:
    """Return a board that has this panel alone."""
    (panel,) = [panel for panel in panels() if panel["title"] == title]
    place = {"x": 0, "y": 0, "w": 12, "h": 8}
    return {"title": "Board", "panels": [panel | {"gridPos": place}]}


def _draw(board: dict[str, Any], answers: Answers) -> Figure:
    return draw_board(board, answers, SPAN, note="a note")


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def _values(title: str, *values: float) -> Figure:
    """Draw a panel alone whose first query finds one series for each value, the others none."""
    board = _alone(title)
    (panel,) = board["panels"]
    first, *others = panel["targets"]
    found = [_found(first, value, instance=f"i{i}") for i, value in enumerate(values)]
    nothing: Answers = {(panel["id"], target["refId"]): [] for target in others}
    return _draw(board, {(panel["id"], first["refId"]): found, **nothing})


@pytest.mark.parametrize("board", list(boards()), ids=lambda board: str(board["title"]))
def test_every_panel_is_drawn(board: dict[str, Any]) -> None:
    """All titles are on the picture, and the note; nothing says that there is no traffic."""
    texts = _texts(_draw(board, _answers(board)))
    assert {panel["title"] for panel in board["panels"]} | {board["title"], "a note"} <= set(texts)
    assert not {"no traffic", "no service"} & set(texts)


@pytest.mark.parametrize("board", list(boards()), ids=lambda board: str(board["title"]))
def test_a_panel_without_data_says_what_grafana_would(board: dict[str, Any]) -> None:
    """Each panel shows its own text for that."""
    texts = _texts(_draw(board, dict.fromkeys(_answers(board), ())))
    for panel in board["panels"]:
        assert panel["fieldConfig"]["defaults"]["noValue"] in texts


def test_an_unknown_type_is_an_error() -> None:
    """A new type of panel is not left out of the picture silently."""
    board = _alone("Ready")
    board["panels"][0]["type"] = "piechart"
    with pytest.raises(ValueError, match=r"No way to draw a piechart: Ready"):
        _draw(board, _answers(board))


def test_values_have_their_units() -> None:
    """A number, a bar and a cell of a table show what was found."""
    assert "97 %" in _texts(_values("Ready", 0.97))
    assert "7.25 sd" in _texts(_values("Classes against the day before", 7.25))
    calibration = _alone("Calibration")
    assert {"expected", "50 %", "images (n)", "0.5"} <= set(
        _texts(_draw(calibration, _answers(calibration)))
    )


def test_a_mapped_value_is_shown_as_its_text() -> None:
    """One replica is ready, the other is not: words, with the instances' names."""
    texts = _texts(_values("Ready by instance", 1, 0))
    assert {"i0", "ready", "i1", "not ready"} <= set(texts)


def test_thresholds_colour_and_limit() -> None:
    """A number has the colour of the last step that it reached; a limit is a line."""
    for seconds, text, colour in ((0.4, "400 ms", "green"), (0.5, "500 ms", "orange")):
        figure = _values("Latency p95", seconds)
        (shown,) = [part for part in figure.findobj(Text) if part.get_text() == text]
        assert shown.get_color() == COLOURS[colour]
    axes = _values("Places taken in the queue", 0.1).axes[0]
    assert [_heights(line)[0] for line in axes.lines] == [0.1, 0.8]


def test_dashed_and_stacked_as_the_panel_says() -> None:
    """The limit of the queue is dashed; outcomes stand one on the other."""
    queue = _alone("Queue")
    waiting, limit = _draw(queue, _answers(queue)).axes[0].lines
    assert (waiting.is_dashed(), limit.is_dashed()) == (False, True)
    accepted, rejected = _values("Traffic by outcome", 2, 3).axes[0].collections
    assert _range(accepted) == (0, 2)
    assert _range(rejected) == (2, 5)


def _range(area: Collection) -> tuple[float, float]:
    """Return the lowest and highest value of a filled area."""
    heights = np.asarray(area.get_paths()[0].vertices)[:, 1]
    return float(heights.min()), float(heights.max())


def _heights(line: Line2D) -> NDArray[np.float64]:
    return np.asarray(line.get_ydata(), dtype=np.float64)


def test_a_heatmap_shows_each_bucket_alone() -> None:
    """Prometheus' buckets hold all that is smaller; a row holds only what is its own."""
    board = _alone("p-values over time")
    figure = _draw(board, _answers(board, value=2))
    mesh = next(iter(figure.axes[0].findobj(QuadMesh)))
    assert np.unique(np.asarray(mesh.get_array())).tolist() == [2]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "0.1",
        "0.5",
        "+Inf",
    ]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0333, "percentunit", "3.33 %"),
        (1, "percentunit", "100 %"),
        (0.0042, "s", "4.2 ms"),
        (90, "s", "1.5 min"),
        (0, "s", "0 s"),
        (300 * 2**20, "bytes", "300 MiB"),
        (14.96, "suffix: img/s", "15 img/s"),
        (456, "none", "456"),
    ],
)
def test_units(value: float, unit: str, text: str) -> None:
    """Three digits, and the unit in the size that fits."""
    assert formatted(value, unit) == text


def test_an_unknown_unit_is_an_error() -> None:
    """It is not drawn as a bare number."""
    with pytest.raises(ValueError, match="furlongs"):
        formatted(1, "furlongs")


def test_a_variable_that_nothing_defines_is_an_error() -> None:
    """A query is never sent with a dollar sign in it."""
    assert substitute("rate(a[$__rate_interval])", interval="15s") == "rate(a[15s])"
    with pytest.raises(ValueError, match=r"\$job"):
        substitute('up{job="$job"}')


def test_the_traffic_is_what_the_picture_says() -> None:
    """Known objects, other styles, and half of them unknown, for as long as is written there."""
    jobs = list(plan(PHASES))
    known, shifted, mixed = np.split(
        np.array(jobs), np.cumsum([phase.seconds * PER_SECOND for phase in PHASES])[:-1]
    )
    assert (set(known[:, 0]), set(known[:, 1])) == (set(KNOWN), set(CALIBRATED))
    assert (set(shifted[:, 0]), set(shifted[:, 1])) == (set(KNOWN), set(SHIFTED))
    assert np.isin(mixed[:, 0], UNKNOWN).mean() == pytest.approx(0.5, abs=0.07)
    assert "0:00 known objects" in note(PHASES)
    assert f"{BROKEN:.0%}" in note(PHASES)


def test_a_picture_says_that_grafana_did_not_draw_it() -> None:
    """So does the page that shows it."""
    assert "not by Grafana" in note(PHASES)
    assert "not by Grafana" in MONITORING
    assert "python -m benchmarks.dashboards" in MONITORING


@pytest.mark.parametrize("board", [path.stem for path in DASHBOARDS])
def test_the_docs_show_every_board(board: str) -> None:
    """Its picture is on the page about monitoring, and not too large for one."""
    assert f"](images/dashboard-{board}.png)" in MONITORING
    assert (ROOT / f"docs/images/dashboard-{board}.png").stat().st_size < 300_000


@pytest.mark.parametrize("page", PAGES)
def test_pictures_of_the_docs_exist(page: str) -> None:
    """No page shows a picture that is not there."""
    path = ROOT / page
    shown = re.findall(r"!\[[^\]]*\]\((?!https?:)([^)]+)\)", path.read_text())
    assert [name for name in shown if not (path.parent / name).is_file()] == []
