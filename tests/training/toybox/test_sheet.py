"""The labelled contact sheet."""

from pathlib import Path

import numpy as np
from PIL import Image

from training.toybox.images import STYLES
from training.toybox.sheet import HEAD, MARGIN, SIDE, contact_sheet, save_sheet


def test_sheet_has_a_row_per_object_and_columns_per_style() -> None:
    """Size follows from the objects and styles, and labels are drawn beside them."""
    sheet = contact_sheet(copies=1, names=("mug", "guitar"))
    assert sheet.size == (MARGIN + SIDE * len(STYLES), HEAD + SIDE * 2)
    assert np.asarray(sheet)[HEAD:, :MARGIN].min() < 100
    assert np.asarray(sheet)[:HEAD, MARGIN:].min() < 100


def test_sheet_is_small_enough_for_documentation(tmp_path: Path) -> None:
    """The whole sheet is a PNG below 600 kB."""
    save_sheet(tmp_path / "docs" / "sheet.png")
    path = tmp_path / "docs" / "sheet.png"
    assert path.stat().st_size < 600_000
    with Image.open(path) as image:
        assert image.format == "PNG"
