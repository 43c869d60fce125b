"""A real Prometheus with the shipped configuration and rules, only faster, and what it answers."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.processes import free_port, running

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
RULE_FILES: Final = ("recording.yml", "alerts.yml")


@dataclass(frozen=True, slots=True)
class Windows:
    """How long an hour and a day are, in PromQL's words."""

    hour: str
    day: str

    def shorten(self, expression: str) -> str:
        """Return the PromQL of a rule with these windows."""
        shorter = {
            "[1h]": f"[{self.hour}]",
            "[1d]": f"[{self.day}]",
            "offset 1h": f"offset {self.hour}",
        }
        for long, short in shorter.items():
            expression = expression.replace(long, short)
        return expression


@contextmanager
def watching(
    targets: Sequence[str], windows: Windows, *, program: str, folder: Path
) -> Iterator[str]:
    """Run a Prometheus that scrapes once a second, and yield its URL.

    Args:
        targets: services, as host:port.
        windows: what its rules look back over.
        program: the path of Prometheus.
        folder: for its files and its log.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        program,
        f"--config.file={_configuration(targets, windows, folder)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, ready=f"{url}/-/ready", log=folder / "prometheus.log"):
        yield url


def _configuration(targets: Sequence[str], windows: Windows, folder: Path) -> Path:
    content = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    content["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = [job for job in content["scrape_configs"] if job["job_name"] == "croft"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": list(targets)}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(content | {"scrape_configs": [job]}))
    for name in RULE_FILES:
        rules = yaml.safe_load((FOLDER / name).read_text())
        (folder / name).write_text(yaml.safe_dump(_faster(rules, windows)))
    return path


def _faster(content: dict[str, Any], windows: Windows) -> dict[str, Any]:
    """Return a file of rules with everything that takes an hour, a day or a minute shortened."""
    for group in content["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = windows.shorten(rule["expr"])
            if "alert" in rule:
                rule["for"] = "1s"
    return content


def query(prometheus: str, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
    """Return the series that Prometheus answers with, now or ``at`` seconds since 1970."""
    moment = {} if at is None else {"time": f"{at:.3f}"}
    found: list[dict[str, Any]] = _ask(prometheus, "query", query=expression, **moment)["result"]
    return found


def query_range(
    prometheus: str, expression: str, *, start: float, end: float, step: float
) -> list[dict[str, Any]]:
    """Return the series between two times, in seconds since 1970, every ``step`` seconds."""
    times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
    found: list[dict[str, Any]] = _ask(prometheus, "query_range", query=expression, **times)[
        "result"
    ]
    return found


def rules_of(prometheus: str) -> list[dict[str, Any]]:
    """Return every rule that Prometheus has loaded, with how its last evaluation went."""
    groups = _ask(prometheus, "rules")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _ask(prometheus: str, what: str, **parameters: str) -> dict[str, Any]:
    url = f"{prometheus}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as response:
        answer = json.load(response)
    data: dict[str, Any] = answer["data"]
    return data
