"""The numbers of the open-set recording rules, against the same formulas in numpy."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from benchmarks.monitoring_rules import (
    distance_limit_W,
    expected_share_E,
    jump_W,
    lower_W,
    upper_W,
)
from service.metrics import P_VALUE_BUCKETS
from tests.deploy.files import PROMETHEUS, ROOT, promtool

pytestmark = pytest.mark.slow

HOURS = 26
SAMPLE_MINUTES = 5
EDGES = np.array(P_VALUE_BUCKETS)
LABELS = 'bundle="photos",version="1"'


@dataclass(frozen=True, slots=True)
class Case:
    """A bundle and its traffic: ``before`` is the rejected share until the last hour."""

    n: int
    rank: int
    images: int
    """N, of one hour."""
    rejected: float
    before: float = 0.03

    @property
    def expected(self) -> float:
        """The mean share of known images that is rejected, m."""
        return self.rank / (self.n + 1)

    @property
    def band(self) -> tuple[float, float]:
        """The lower and the upper edge."""
        hour = np.array([float(self.images)])
        lower, upper = (edge(self.expected, self.n, hour) for edge in (lower_W, upper_W))
        return float(lower[0]), float(upper[0])

    @property
    def shares(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The share of p-values at most each edge: too many small ones."""
        return EDGES**0.5

    @property
    def recorded(self) -> dict[str, float]:
        """What the rules have to say."""
        hour, now, before = (
            np.array([x]) for x in (float(self.images), self.rejected, self.before)
        )
        lower, upper = self.band
        return {
            "bundle:croft_answered:increase1h": self.images,
            "bundle:croft_rejection:ratio1h": self.rejected,
            "bundle:croft_rejection_before:ratio1d": self.before,
            "bundle:croft_rejection_expected:ratio": self.expected,
            "bundle:croft_rejection_upper:ratio1h": upper,
            "bundle:croft_rejection_lower:ratio1h": lower,
            'bundle:croft_p_value_share:ratio1h{le="0.05"}': 0.05**0.5,
            "bundle:croft_p_value_distance:max1h": float(
                np.abs(self.shares[:-1] - expected_share_E(self.n)).max()
            ),
            "bundle:croft_p_value_distance_limit:max1h": float(distance_limit_W(self.n, hour)[0]),
            "bundle:croft_rejection_jump:sd": float(jump_W(now, hour, before, 24 * hour)[0]),
        }

    @property
    def series(self) -> list[dict[str, str]]:
        """Counters that grow evenly, at another pace in the last hour."""
        each = self.images * SAMPLE_MINUTES / 60
        rejected = _grow(each * self.before, each * self.rejected)
        accepted = _grow(each * (1 - self.before), each * (1 - self.rejected))
        edges = zip(P_VALUE_BUCKETS, self.shares, strict=True)
        return [
            _series("croft_calibration_images", "", f"{self.n}x{HOURS * 12}"),
            _series("croft_expected_rejection_rate", "", f"{self.expected!r}x{HOURS * 12}"),
            _series("croft_images_total", ',outcome="rejected"', rejected),
            _series("croft_images_total", ',outcome="accepted"', accepted),
            _series("croft_p_value_count", "", _grow(each, each)),
            *(
                _series("croft_p_value_bucket", f',le="{edge}"', _grow(each * share, each * share))
                for edge, share in edges
            ),
        ]


def _series(name: str, more: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{LABELS}{more}}}", "values": values}


def _grow(usual: float, last_hour: float) -> str:
    usual_samples = (HOURS - 1) * 60 // SAMPLE_MINUTES
    start = usual * usual_samples + last_hour
    return f"0+{usual:.12f}x{usual_samples} {start:.9f}+{last_hour:.12f}x{60 // SAMPLE_MINUTES}"


CASES = [
    Case(n=59, rank=1, images=600, rejected=0.05),
    Case(n=100, rank=3, images=1_000, rejected=0.02),
    Case(n=1_000, rank=37, images=3_600, rejected=0.2),
    Case(n=1_000_000, rank=50_000, images=100_000, rejected=0.049),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"n={case.n}")
def test_prometheus_computes_what_the_formulas_say(case: Case, tmp_path: Path) -> None:
    """Band, distance, its limit and jump are the numbers that Python finds."""
    checks = [
        {
            "expr": f"abs({name} - {value!r}) < bool {1e-6 * max(abs(value), 1e-3)!r}",
            "eval_time": f"{HOURS}h",
            "exp_samples": [{"labels": f"{{{_labels(name)}}}", "value": 1}],
        }
        for name, value in case.recorded.items()
    ]
    content = {
        "rule_files": [str(PROMETHEUS / "recording.yml")],
        "evaluation_interval": f"{SAMPLE_MINUTES}m",
        "tests": [
            {
                "interval": f"{SAMPLE_MINUTES}m",
                "input_series": case.series,
                "promql_expr_test": checks,
            }
        ],
    }
    path = tmp_path / "numbers.yml"
    path.write_text(yaml.safe_dump(content))
    promtool("test", "rules", path)


def _labels(name: str) -> str:
    return LABELS + (',le="0.05"' if "le=" in name else "")


def test_the_table_of_bands_is_true() -> None:
    """The edges in docs/monitoring.md are those of the formulas."""
    text = (ROOT / "docs/monitoring.md").read_text()
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) \|(.+)\|$", text, re.MULTILINE)
    assert len(rows) >= 5
    for n, rank, shown in rows:
        small, large = (
            Case(n=int(n.replace(",", "")), rank=int(rank), images=images, rejected=0)
            for images in (600, 3_600)
        )
        draws = stats.beta.ppf([0.01, 0.99], small.rank, small.n + 1 - small.rank)
        ranges = [draws, small.band, large.band]
        assert shown.strip() == " | ".join(
            [_percent(small.expected), *(" to ".join(map(_percent, edges)) for edges in ranges)]
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
