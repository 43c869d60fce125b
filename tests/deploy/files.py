"""The deployment files, parsed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from benchmarks.boards.grafana import substitute
from benchmarks.boards.prometheus import RULE_FILES
from service.metrics import Metrics

ROOT: Final = Path(__file__).resolve().parents[2]
DASHBOARDS: Final = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
PROMETHEUS: Final = ROOT / "deploy/prometheus"


def compose() -> dict[str, Any]:
    """Return docker-compose.yml."""
    return read_yaml("docker-compose.yml")


def read_yaml(path: str) -> dict[str, Any]:
    """Return a YAML file of the repository that holds one mapping."""
    content = yaml.safe_load((ROOT / path).read_text())
    assert isinstance(content, dict), path
    return content


def stages() -> dict[str, list[str]]:
    """Return the Dockerfile's stages in order: name -> instructions, the FROM line first."""
    found: dict[str, list[str]] = {}
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in (line for line in text.splitlines() if line and not line.startswith("#")):
        if line.startswith("FROM "):
            found[line.split(" AS ")[1]] = [line]
        else:
            found[next(reversed(found))].append(line)
    return found


def boards() -> Iterator[dict[str, Any]]:
    """Yield every Grafana dashboard."""
    for path in DASHBOARDS:
        yield json.loads(path.read_text())


def panels() -> Iterator[dict[str, Any]]:
    """Yield every panel of every dashboard."""
    for board in boards():
        yield from board["panels"]


def expressions() -> Iterator[tuple[str, str]]:
    """Yield (panel title, PromQL) with Grafana's variables replaced by ordinary values."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], substitute(target["expr"])


def annotations() -> Iterator[tuple[str, str]]:
    """Yield (name, PromQL) of what is marked on the time axis, variables replaced."""
    for board in boards():
        for annotation in board["annotations"]["list"]:
            yield annotation["name"], substitute(annotation["expr"])


def rules() -> list[dict[str, Any]]:
    """Return every rule for Prometheus: recording rules, then alerts."""
    files = [read_yaml(f"deploy/prometheus/{name}") for name in RULE_FILES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def records() -> dict[str, str]:
    """Return the recording rules: name -> PromQL."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def known_names() -> set[str]:
    """Return what can be asked for: published by the service, recorded, or Prometheus' own."""
    return published() | records().keys() | {"ALERTS", "up"}


def published() -> set[str]:
    """Return the names that a scrape of the service shows, histograms' series included."""
    suffixes = {
        "counter": ("_total",),
        "gauge": ("",),
        "histogram": ("_bucket", "_sum", "_count"),
    }
    families = Metrics().registry.collect()
    return {family.name + suffix for family in families for suffix in suffixes[family.type]}


def names_in(expression: str) -> set[str]:
    """Return the names of metrics and recording rules in a PromQL expression."""
    names = r"\b(?:[a-z_]+:)?(?:croft|process)[\w:]*|\bALERTS\b|\bup\b"
    return set(re.findall(names, without_strings(expression)))


def without_strings(expression: str) -> str:
    """Return the expression with every quoted string emptied."""
    return re.sub(r'"[^"]*"', '""', expression)


def divisors(expression: str) -> list[str]:
    """Return what a PromQL expression divides by.

    Raises:
        AssertionError: if a divisor is not in parentheses.
    """
    one_line = " ".join(without_strings(expression).split())
    pieces = re.split(r" / (?:on \([a-z_, ]*\) group_left \(\) )?", one_line)[1:]
    return [_inside(piece) for piece in pieces]


def _inside(text: str) -> str:
    """Return what the parenthesis at the start of the text encloses."""
    assert text.startswith("("), f"divides by something without parentheses: {text}"
    depth = 0
    for end, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return text[1:end]
    raise AssertionError(f"unbalanced: {text}")


def tool(name: str) -> str:
    """Return the path of a system program; skip the test where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; on Debian: apt-get install prometheus")
    return path


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return what it printed.

    Raises:
        AssertionError: with what it printed, if it failed.
    """
    command = [tool("promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_queries(queries: list[str], folder: Path) -> None:
    """Let promtool parse PromQL, each query as the recording rule that it could be.

    Raises:
        AssertionError: with promtool's complaint, or if there is nothing to parse.
    """
    assert queries
    named = [{"record": f"query:{i}", "expr": query} for i, query in enumerate(queries)]
    path = folder / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": named}]}))
    promtool("check", "rules", path)
