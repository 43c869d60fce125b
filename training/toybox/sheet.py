"""A labelled sheet of sample images: objects as rows, styles as columns."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from training.toybox.images import KNOWN, STYLES, UNKNOWN, render

SIDE, MARGIN, HEAD = 80, 74, 20
"""Pixels of one picture, of the column of names, and of the row of styles."""
INK = (40, 40, 46)


def contact_sheet(
    *, seed: int = 0, copies: int = 2, names: Sequence[str] = (*KNOWN, *UNKNOWN)
) -> Image.Image:
    """Return a sheet with so many copies of each object in each style."""
    columns = [(style, index) for style in STYLES for index in range(copies)]
    sheet = Image.new("RGB", (MARGIN + SIDE * len(columns), HEAD + SIDE * len(names)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for column, (style, index) in enumerate(columns):
        left = MARGIN + SIDE * column
        if index == 0:
            pen.text((left + SIDE * copies / 2, 3), style, INK, font, anchor="ma")
        for row, name in enumerate(names):
            pixels = render(name, style, seed=seed, index=index)
            tile = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left, HEAD + SIDE * row))
    for row, name in enumerate(names):
        label = f"{name} *" if name in UNKNOWN else name
        pen.text((6, HEAD + SIDE * (row + 0.5)), label, INK, font, anchor="lm")
    return sheet


def save_sheet(path: Path, *, seed: int = 0) -> None:
    """Write the sheet as a PNG of 256 well-chosen colours, small enough for documentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(seed=seed)
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
