"""The deployment files, parsed."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DASHBOARDS: Final = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))

_SAMPLE_VALUES: Final = {"$__rate_interval": "1m", "$__range": "1h", "$bundle": ".*"}


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


def substitute(expression: str) -> str:
    """Return the expression as Grafana would send it."""
    for name, value in _SAMPLE_VALUES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that nothing defines: {expression}"
    return expression


def metrics_in(expression: str) -> set[str]:
    """Return the names of Croft's metrics in a PromQL expression."""
    return set(re.findall(r"\bcroft_[a-z_]+", expression))


def tool(name: str) -> str:
    """Return the path of a system program; skip the test where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; on Debian: apt-get install prometheus")
    return path
