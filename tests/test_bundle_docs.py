"""docs/bundle-format.md describes the manifest that the code reads."""

import re
from pathlib import Path

from models.manifest import Manifest

PAGE = Path(__file__).parents[1] / "docs" / "bundle-format.md"


def test_every_field_is_documented_and_every_documented_field_exists() -> None:
    """The table's first column is the list of the manifest's fields."""
    rows = re.findall(r"^\| (`[^|]+) \|", PAGE.read_text(), flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert documented == set(Manifest.model_fields)
