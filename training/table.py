"""The figures of an evaluation as a few lines of text."""

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]


def lines_of(figures: Figures) -> list[str]:
    """Return the figures as a table for a terminal."""
    lines = [f"This bundle {figures['promise']['text']}.", ""]
    lines.append(f"  {'':<24}{'images':>8}  {'right':>18}  {'refused':>20}")
    for title, part in (
        ("known", figures["known"]),
        ("known, other styles", figures["shifted"]),
        *((f"  {name}", part) for name, part in figures["domains"].items()),
    ):
        if part is not None:
            right, refused = interval(part["accuracy"]), interval(part["refused"])
            lines.append(f"  {title:<24}{part['images']:>8}  {right:>18}  {refused:>20}")
    for name, part in figures["unknown"].items():
        refused, title = interval(part["caught"]), f"unknown: {name}"
        lines.append(f"  {title:<24}{part['images']:>8}  {'':>18}  {refused:>20}")
    return [*lines, *_auroc(figures), *_band(figures)]


def interval(rate: Figures) -> str:
    """Write a rate with its 95 % interval: ``93.0 % (91-95)``."""
    return f"{100 * rate['rate']:.1f} % ({100 * rate['low']:.0f}-{100 * rate['high']:.0f})"


def _auroc(figures: Figures) -> list[str]:
    lines = []
    for name, part in figures["unknown"].items():
        for key, against in (("against_known", "known"), ("against_shifted", "other styles")):
            if part[key] is not None:
                area = part[key]["all"]
                lines.append(
                    f"  AUROC {name} against {against}: {area['auroc']:.3f} "
                    f"({area['auroc_low']:.3f}-{area['auroc_high']:.3f})"
                )
    return ["", *lines] if lines else []


def _band(figures: Figures) -> list[str]:
    if figures["known"] is None:
        return []
    band = figures["known"]["refusal_band"]
    verdict = "inside" if band["inside"] else "OUTSIDE"
    return [
        "",
        f"  {band['refused']} known images refused; {verdict} the band of {band['least']} to "
        f"{band['most']} that {100 * band['confidence']:.0f} % of fresh sets fall in.",
    ]
