"""Every Grafana panel explains itself and asks for something that can be answered."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import (
    boards,
    check_queries,
    divisors,
    expressions,
    names_in,
    panels,
    published,
    records,
)

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
    assert asked <= published() | records().keys()


def test_the_bundle_variable_asks_for_a_metric_that_exists() -> None:
    """The list of bundles to choose from comes from a metric with that label."""
    for board in boards():
        (variable,) = [v for v in board["templating"]["list"] if v["name"] == "bundle"]
        assert names_in(variable["query"]["query"]) == {"croft_bundle_info"}
        assert "croft_bundle_info" in published()


def test_every_expression_parses(tmp_path: Path) -> None:
    """promtool reads each query, as a recording rule, without complaint."""
    check_queries([expression for _, expression in expressions()], tmp_path)


def test_the_parser_notices_a_broken_expression(tmp_path: Path) -> None:
    """promtool refuses a query that is not PromQL, so the check above means something."""
    with pytest.raises(AssertionError, match="parse expression"):
        check_queries(["sum by (le (rate(croft_images_total[1m]))"], tmp_path)
