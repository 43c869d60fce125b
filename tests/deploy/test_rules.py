"""Recording rules and alerts: valid, tested, explained, and about things that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.boards.prometheus import RULE_FILES
from service.metrics import P_VALUE_BUCKETS
from tests.deploy.files import (
    PROMETHEUS,
    ROOT,
    alerts,
    check_queries,
    compose,
    divisors,
    known_names,
    names_in,
    promtool,
    read_yaml,
    records,
    rules,
)

RUNBOOKS = ROOT / "docs/runbooks"
SERIES = sorted(PROMETHEUS.glob("*_test.yml"))
DISTANCE = "bundle:croft_p_value_distance:max1h"


def _name(rule: dict[str, Any]) -> str:
    return str(rule.get("record") or rule["alert"])


def test_the_rules_are_valid() -> None:
    """promtool accepts every file of rules, and finds no rule twice."""
    promtool("check", "rules", "--lint-fatal", *(PROMETHEUS / name for name in RULE_FILES))


@pytest.mark.slow
@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    """promtool replays the quiet and the firing series."""
    promtool("test", "rules", path)


@pytest.mark.slow
def test_the_replay_notices_an_alert_that_never_fires(tmp_path: Path) -> None:
    """Where no alert ever fires promtool complains of each, so the test above means something."""
    (tmp_path / "recording.yml").write_text("groups: []")
    silenced = [rule | {"expr": "vector(1) > 2"} for rule in alerts().values()]
    content = {"groups": [{"name": "silenced", "rules": silenced}]}
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(content))
    complaints = ""
    for path in SERIES:
        (tmp_path / path.name).write_text(path.read_text())
        with pytest.raises(AssertionError) as caught:
            promtool("test", "rules", tmp_path / path.name)
        complaints += str(caught.value)
    assert set(re.findall(r"alertname: (\w+)", complaints)) == set(alerts())


def _tested() -> Iterator[dict[str, Any]]:
    for path in SERIES:
        for test in read_yaml(path.relative_to(ROOT).as_posix())["tests"]:
            yield from test["alert_rule_test"]


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_quiet_and_a_firing_series(name: str) -> None:
    """Every alert is tested both ways."""
    fires = {bool(case["exp_alerts"]) for case in _tested() if case["alertname"] == name}
    assert fires == {False, True}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_it_means(name: str) -> None:
    """Every alert has a severity, a summary, a description, a patience and a runbook about it."""
    alert = alerts()[name]
    notes = alert["annotations"]
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert notes["summary"]
    assert notes["description"].endswith(".")
    assert alert["for"]
    assert notes["runbook"] == f"docs/runbooks/{name}.md"
    assert (ROOT / notes["runbook"]).read_text().startswith(f"# {name}\n")


def test_runbooks_are_about_alerts() -> None:
    """No runbook outlives its alert, and the list of alerts in the documentation is whole."""
    listed = re.findall(r"\]\(runbooks/(\w+)\.md\)", (ROOT / "docs/monitoring.md").read_text())
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(alerts())
    assert sorted(listed) == sorted(alerts())


@pytest.mark.parametrize("name", alerts())
def test_a_runbook_names_metrics_that_exist(name: str) -> None:
    """Every query and metric that a runbook tells the reader to look at can be looked at."""
    quoted = re.findall(r"`([^`]+)`", (RUNBOOKS / f"{name}.md").read_text())
    asked = {found for text in quoted for found in names_in(text) if re.search("[_:]", found)}
    assert asked
    assert asked <= known_names()


@pytest.mark.parametrize("name", alerts())
def test_the_queries_of_a_runbook_parse(name: str, tmp_path: Path) -> None:
    """Every line of a block of PromQL is a query that Prometheus understands."""
    blocks = re.findall(r"```promql\n(.+?)```", (RUNBOOKS / f"{name}.md").read_text(), re.DOTALL)
    check_queries([line for block in blocks for line in block.splitlines()], tmp_path)


@pytest.mark.parametrize("rule", rules(), ids=_name)
def test_a_rule_asks_for_what_exists(rule: dict[str, Any]) -> None:
    """Every name in a rule is published by the service or recorded by another rule."""
    asked = names_in(rule["expr"])
    assert asked
    assert asked <= known_names()


def test_rules_of_a_group_use_only_what_was_recorded_before() -> None:
    """A group is evaluated in order: what stands below would be an interval old."""
    for group in read_yaml("deploy/prometheus/recording.yml")["groups"]:
        later = {rule["record"] for rule in group["rules"]}
        for rule in group["rules"]:
            assert not names_in(rule["expr"]) & later, rule["record"]
            later.discard(rule["record"])


@pytest.mark.parametrize("rule", rules(), ids=_name)
def test_divisions_of_a_rule_are_guarded(rule: dict[str, Any]) -> None:
    """Whatever is divided by is compared with zero: no traffic is no value, neither NaN nor Inf."""
    assert all(divisor.endswith(" > 0") for divisor in divisors(rule["expr"]))


def test_the_distance_looks_at_every_edge_of_the_p_value_histogram() -> None:
    """The edges in the rule are those of the metric; at 1 every distribution is the same."""
    expression = records()[DISTANCE]
    edges = [float(edge) for edge in re.findall(r'le="([\d.]+)"', expression)]
    expected_at = [float(edge) for edge in re.findall(r"floor\(([\d.]+) \*", expression)]
    assert tuple(edges) == tuple(expected_at) == P_VALUE_BUCKETS[:-1]


def test_prometheus_loads_the_rules_where_compose_mounts_them() -> None:
    """The files of rules are beside the configuration, in the folder that compose mounts."""
    assert read_yaml("deploy/prometheus/prometheus.yml")["rule_files"] == list(RULE_FILES)
    prometheus = compose()["services"]["prometheus"]
    assert "./deploy/prometheus:/etc/prometheus:ro" in prometheus["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in prometheus["command"]
