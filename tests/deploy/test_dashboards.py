"""Every Grafana panel explains itself and asks for something that can be answered."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import (
    DASHBOARDS,
    ROOT,
    annotations,
    boards,
    check_queries,
    divisors,
    expressions,
    known_names,
    names_in,
    panels,
    published,
    records,
    rules,
)

BUILD = ROOT / "deploy/grafana/build.py"
TITLES = [panel["title"] for panel in panels()]


def _panel(title: str) -> dict[str, Any]:
    (found,) = [panel for panel in panels() if panel["title"] == title]
    return found


def test_boards_can_be_provisioned_anywhere() -> None:
    """A board has a stable uid and no id of one installation."""
    for board in boards():
        assert board["uid"].startswith("croft-")
        assert board["id"] is None


def test_panels_have_identities() -> None:
    """Panel ids do not repeat within a board, and titles do not repeat at all."""
    for board in boards():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
    assert len(set(TITLES)) == len(TITLES)


@pytest.mark.parametrize("title", TITLES)
def test_a_panel_says_what_it_shows(title: str) -> None:
    """Every panel has a description, a unit, and text for when there is nothing to show."""
    panel = _panel(title)
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["description"].endswith(".")
    assert defaults["unit"]
    assert defaults["noValue"]


@pytest.mark.parametrize("title", TITLES)
def test_values_are_coloured_by_steps_of_their_own(title: str) -> None:
    """Grafana's default turns everything red at 80, be it a hundred images per second."""
    panel = _panel(title)
    if panel["type"] in {"stat", "bargauge"}:
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None


@pytest.mark.parametrize("title", TITLES)
def test_a_panel_lets_its_data_source_be_chosen(title: str) -> None:
    """Panel and queries take the data source from the board's variable."""
    panel = _panel(title)
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_do_not_overlap() -> None:
    """No two panels of a board cover the same cell of its grid of 24 columns."""
    for board in boards():
        cells = [cell for panel in board["panels"] for cell in _cells(panel["gridPos"])]
        assert len(set(cells)) == len(cells)


def _cells(box: dict[str, int]) -> list[tuple[int, int]]:
    assert box["x"] + box["w"] <= 24
    return [
        (x, y)
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]


def test_rates_follow_the_zoom() -> None:
    """rate() takes Grafana's interval, which is never shorter than four scrapes."""
    for panel in panels():
        for target in panel["targets"]:
            windows = re.findall(r"rate\([^\[]*\[([^\]]+)\]", target["expr"])
            assert set(windows) <= {"$__rate_interval"}


def test_divisions_are_guarded() -> None:
    """Whatever is divided by is compared with zero, so that no traffic is no value, not NaN."""
    for title, expression in expressions():
        assert all(divisor.endswith(" > 0") for divisor in divisors(expression)), title


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_panel_asks_for_metrics_that_exist(title: str, expression: str) -> None:
    """Every name in a query is published by the service or recorded by a rule."""
    asked = names_in(expression)
    assert asked, title
    assert asked <= known_names()


def test_a_board_can_be_narrowed_down() -> None:
    """Every board lets data source, bundle and instance be chosen, all of them at first."""
    for board in boards():
        source, *queried = board["templating"]["list"]
        assert (source["name"], source["type"]) == ("datasource", "datasource")
        assert [variable["name"] for variable in queried] == ["bundle", "instance"]
        for variable in queried:
            assert names_in(variable["query"]["query"]) <= published()
            assert variable["multi"]
            assert variable["allValue"] == ".*"


def test_variables_are_used() -> None:
    """Each variable narrows something down, and none is used without being declared."""
    for board in boards():
        used = set(re.findall(r"\$(\w+)", json.dumps(board["panels"])))
        declared = {variable["name"] for variable in board["templating"]["list"]}
        assert used - {"__rate_interval", "__range"} <= declared
        assert {"bundle", "instance"} & used


def test_a_board_marks_changes_of_bundles() -> None:
    """Bundles that come and go are marked on the time axis of every board."""
    for board in boards():
        marked = board["annotations"]["list"]
        assert [annotation["name"] for annotation in marked] == ["Bundle loaded", "Bundle removed"]
        assert {name for one in marked for name in names_in(one["expr"])} == {"croft_bundle_info"}


def test_boards_are_linked() -> None:
    """Every board leads to the others, with its time range and variables."""
    for board in boards():
        (link,) = board["links"]
        assert set(link["tags"]) <= set(board["tags"])
        assert link["keepTime"]
        assert link["includeVars"]


def test_every_recording_rule_is_used() -> None:
    """What is recorded is shown on a board, or asked for by an alert or another rule."""
    asked = [expression for _, expression in expressions()]
    asked += [rule["expr"] for rule in rules()]
    assert records().keys() <= {name for expression in asked for name in names_in(expression)}


def test_the_boards_are_what_the_file_makes() -> None:
    """Nobody edits the JSON by hand: ``build.py --check`` agrees with every board."""
    _build("--check")


def test_the_check_notices_a_changed_board(tmp_path: Path) -> None:
    """A board that was edited, that is missing or that nobody makes is named."""
    folder = tmp_path / "dashboards"
    folder.mkdir()
    for source in BUILD.parent.glob("*.py"):
        (tmp_path / source.name).write_text(source.read_text())
    for path in DASHBOARDS[1:]:
        (folder / path.name).write_text(path.read_text())
    (folder / DASHBOARDS[1].name).write_text("{}")
    (folder / "stranger.json").write_text("{}")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        _build("--check", file=tmp_path / BUILD.name)
    for name in (DASHBOARDS[0].name, DASHBOARDS[1].name, "stranger.json"):
        assert name in caught.value.stderr
    assert DASHBOARDS[2].name not in caught.value.stderr


def _build(*arguments: str, file: Path = BUILD) -> None:
    command = [sys.executable, str(file), *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def test_every_expression_parses(tmp_path: Path) -> None:
    """promtool reads each query, as a recording rule, without complaint."""
    check_queries([query for _, query in (*expressions(), *annotations())], tmp_path)


def test_the_parser_notices_a_broken_expression(tmp_path: Path) -> None:
    """promtool refuses a query that is not PromQL, so the check above means something."""
    with pytest.raises(AssertionError, match="parse expression"):
        check_queries(["sum by (le (rate(croft_images_total[1m]))"], tmp_path)
