"""What the boards ask Prometheus: selectors, and queries as a panel holds them."""

from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

SOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
BUNDLE: Final = 'bundle=~"$bundle"'
INSTANCE: Final = 'instance=~"$instance"'
PROCESS: Final = f'job="croft",{INSTANCE}'
ANSWERED: Final = f'croft_images_total{{{BUNDLE},{INSTANCE},outcome=~"accepted|rejected"}}'
REJECTED: Final = f'croft_images_total{{{BUNDLE},{INSTANCE},outcome="rejected"}}'
CLASSIFY: Final = f'croft_request_seconds_bucket{{route="/classify",status="200",{INSTANCE}}}'
VERSION: Final = "{{bundle}}@{{version}}"
RATE: Final = "[$__rate_interval]"
RECEIVED: Final = f"sum(rate(croft_images_received_total{{{INSTANCE}}}{RATE}))"
NO_TRAFFIC: Final = "no traffic"
NO_SERVICE: Final = "no service"
ONE_PROCESS: Final = "shown for one process behind a port"
IMAGES_PER_SECOND: Final = "suffix: img/s"
BINS: Final = ("0", "0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0")
"""Edges of the p-value histogram as shown; buckets below 0.05 are too narrow for small n."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """PromQL, and the name of its series."""

    expr: str
    legend: str = ""
    instant: bool = False
    format: str = "time_series"

    def target(self, ref: str) -> Json:
        """Return it as a panel holds it."""
        return {
            "refId": ref,
            "datasource": SOURCE,
            "expr": self.expr,
            "legendFormat": self.legend,
            "format": self.format,
            "instant": self.instant,
            "range": not self.instant,
        }


def quantile(q: float, metric: str, *, by: str = "le") -> str:
    """A quantile of a histogram; no value, not NaN, where nothing was observed."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}{RATE}))) >= 0"


def rows(name: str, expr: str) -> Query:
    """A query whose labels are a table's columns; its value is the column ``name``."""
    return Query(expr=expr, legend=name, instant=True, format="table")
