"""Samples with timestamps of their own, the shipped rules over them, and a real Prometheus."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.boards.prometheus import FOLDER, query_range
from benchmarks.processes import free_port, running
from models.errors import ConfigError
from service.metrics import Metrics

STEP_SECONDS: Final = 60
_TARGET: Final = {"instance": "stream:8000", "job": "croft"}

Series = dict[str, NDArray[np.float64]]
"""Values by labels, one a minute; NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert, from when it fired until it cleared, in seconds from the start."""

    alert: str
    of: str
    """Labels, as text."""
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Backfilled:
    """A Prometheus that remembers it."""

    url: str
    start: float
    end: float

    def series(self, expression: str) -> Series:
        """Return what an expression was at every minute."""
        minutes = np.arange(self.start, self.end + 1, STEP_SECONDS)
        found = {}
        times = {"start": self.start, "end": self.end, "step": STEP_SECONDS}
        for result in query_range(self.url, expression, **times):
            values = np.full(len(minutes), np.nan)
            for at, value in result["values"]:
                values[round((at - self.start) / STEP_SECONDS)] = float(value)
            found[_text(result["metric"])] = values
        return found


def write_openmetrics(scrapes: Iterable[tuple[float, Metrics]], path: Path) -> None:
    """Write what the service would have shown at each of the times, family by family."""
    lines: dict[str, list[str]] = {}
    for at, metrics in scrapes:
        for family in metrics.registry.collect():
            kept = lines.setdefault(family.name, [f"# TYPE {family.name} {family.type}"])
            kept += [
                _line(sample.name, sample.labels, sample.value, at)
                for sample in family.samples
                if not sample.name.endswith("_created")
            ]
        lines.setdefault("up", ["# TYPE up gauge"]).append(_line("up", {}, 1, at))
    path.write_text("\n".join(line for family in lines.values() for line in family) + "\n# EOF\n")


def _line(name: str, labels: Mapping[str, str], value: float, at: float) -> str:
    return f"{name}{{{_text({**labels, **_TARGET})}}} {float(value)!r} {at:.0f}"


def _text(labels: Mapping[str, str]) -> str:
    return ",".join(
        f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__"
    )


@contextmanager
def backfilled(samples: Path, *, start: float, end: float, folder: Path) -> Iterator[Backfilled]:
    """Run a Prometheus that remembers the samples and, from them, every recording rule.

    Raises:
        ConfigError: Prometheus or promtool is not installed.
    """
    data = folder / "data"
    _run(_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", samples, data)
    # Backfilling does not let a rule see another one of the same run: one pass for each level.
    for _ in range(_depth(FOLDER / "recording.yml")):
        with _prometheus(folder) as url:
            times = ("--start", str(int(start)), "--end", str(int(end)), "--url", url)
            command = (_tool("promtool"), "tsdb", "create-blocks-from", "rules")
            _run(*command, *times, "--output-dir", data, FOLDER / "recording.yml")
    with _prometheus(folder) as url:
        yield Backfilled(url, start, end)


def firings(prometheus: Backfilled) -> list[Firing]:
    """Return everything that the shipped alerts did, in order of time."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    found: list[Firing] = []
    for rule in (rule for group in groups for rule in group["rules"]):
        hold = _minutes(rule["for"])
        for labels, values in prometheus.series(rule["expr"]).items():
            found += stretches(rule["alert"], labels, ~np.isnan(values), hold)
    return sorted(found, key=lambda firing: firing.begins)


def stretches(alert: str, labels: str, true: NDArray[np.bool_], hold: int) -> Iterator[Firing]:
    """Yield when an alert fires that waits ``hold`` minutes, by the minutes it was true in."""
    edges = np.flatnonzero(np.diff(true.astype(int), prepend=0, append=0))
    for begins, ends in edges.reshape(-1, 2):
        if ends - begins > hold:
            yield Firing(
                alert, labels, float(begins + hold) * STEP_SECONDS, float(ends) * STEP_SECONDS
            )


def _minutes(text: str) -> int:
    match = re.fullmatch(r"(\d+)m", text)
    assert match, text
    return int(match[1])


def _depth(path: Path) -> int:
    """Return how many recording rules stand on one another at most."""
    groups = yaml.safe_load(path.read_text())["groups"]
    rules = {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}

    def depth(name: str) -> int:
        used = set(re.findall(r"[a-z]+(?::[a-z0-9_]+)+", rules[name])) & rules.keys()
        return 1 + max((depth(other) for other in used), default=0)

    return max(map(depth, rules))


@contextmanager
def _prometheus(folder: Path) -> Iterator[str]:
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        _tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, ready=f"{url}/-/ready", log=folder / "prometheus.log"):
        yield url


def _run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ConfigError(f"{name} is not installed; on Debian: apt-get install prometheus")
    return path
