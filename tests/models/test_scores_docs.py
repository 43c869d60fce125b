"""docs/scores.md and docs/bundle-format.md name what models.scores has."""

import re
from pathlib import Path

from models.scores import SCORES, STANDARD

DOCS = Path(__file__).parents[2] / "docs"


def test_every_score_is_documented_with_its_formula() -> None:
    """One row a score, in order, with the formula and source of the code."""
    rows = re.findall(
        r"^\| `([\w+]+)` \| (.+?) \| (.+?) \|", (DOCS / "scores.md").read_text(), re.M
    )

    assert rows == [(name, SCORES[name].formula, SCORES[name].source) for name in STANDARD]


def test_every_stored_tensor_is_documented() -> None:
    """By its name in the file, and its dtype."""
    page = (DOCS / "bundle-format.md").read_text()
    rows = re.findall(r"^\| `score\.([\w.+]+)` \| (\w+) \|", page, re.M)

    assert rows == [
        (f"{name}.{tensor}", layout.split()[0])
        for name in STANDARD
        for tensor, layout in SCORES[name].stores.items()
    ]
