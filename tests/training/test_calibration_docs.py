"""docs/calibration.md: its tables are recomputed, its example is what the product prints."""

from pathlib import Path

import numpy as np
import pytest

from models.threshold import Threshold
from training.calibrate import (
    CalibrateConfig,
    band,
    calibrate,
    expectation,
    images_needed,
    percent,
    rank_of,
)

PAC = CalibrateConfig()
MARGINAL = CalibrateConfig(method="conformal")


@pytest.fixture(scope="module")
def text() -> str:
    """Return the document."""
    path = Path(__file__).resolve().parents[2] / "docs" / "calibration.md"
    return path.read_text(encoding="utf-8")


def table(text: str, name: str) -> list[list[str]]:
    """Return the cells of the table that follows a marker, without its head."""
    lines = text.split(f"<!-- table: {name} -->\n", 1)[1].split("\n\n", 1)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def share(text: str) -> float:
    """Read `5 %`."""
    return float(text.removesuffix(" %")) / 100


def ranked(n: int, config: CalibrateConfig) -> str:
    """Write the rank and the expected refusal as the table does."""
    rank = rank_of(n, config)
    return f"{rank} ({percent(rank / (n + 1), digits=2)})" if rank else "too few"


def test_the_table_of_images_needed(text: str) -> None:
    """Every row."""
    rows = table(text, "needed")

    assert len(rows) == 8
    for alpha, confidence, needed, marginal in rows:
        delta = round(1 - share(confidence), 9)
        config = CalibrateConfig(alpha=share(alpha), delta=delta)
        conformal = CalibrateConfig(method="conformal", alpha=share(alpha))
        assert (int(needed), int(marginal)) == (images_needed(config), images_needed(conformal))


def test_the_table_of_ranks(text: str) -> None:
    """Every row: ranks, expected refusals, and the band of 1,000 fresh images."""
    rows = table(text, "ranks")

    assert len(rows) == 10
    for count, *cells in rows:
        n = int(count.replace(",", ""))
        threshold = Threshold(
            method="pac", alpha=0.05, delta=0.05, n=n, rank=rank_of(n, PAC), value=0.0
        )
        low, high = band(threshold, 1000)
        assert cells == [
            ranked(n, PAC),
            ranked(n, CalibrateConfig(delta=0.01)),
            ranked(n, CalibrateConfig(alpha=0.01)),
            ranked(n, MARGINAL),
            f"{low} to {high}",
        ]


def test_the_example_is_what_is_printed(text: str) -> None:
    """For 500 calibration images."""
    assert f"\n{expectation(calibrate(np.arange(500.0), PAC))}\n" in text
