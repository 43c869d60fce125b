"""An evaluation as one HTML page that needs nothing else, and its figures as JSON."""

import base64
import importlib.resources
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np
from markupsafe import Markup

from models.bundle import Bundle
from models.errors import ImageError
from models.preprocess import Preprocess
from training import figures as drawn
from training.evaluate import KNOWN, SHIFTED, Evaluation, Row
from training.recalibrate import NOTICES
from training.summary import Figures, summarize
from training.table import interval

EXAMPLES: Final = 8
"""Images shown of each kind."""

_THUMBNAIL: Final = 112  # pixels: sharp at 96 on most screens, and about 4 KB
_SEED: Final = 0  # of the choice of examples: a report written twice is the same report


@dataclass(frozen=True, slots=True)
class Card:
    """One key figure."""

    title: str
    value: str
    detail: str
    good: bool | None = None
    """Whether it is as promised; None where nothing is promised."""


@dataclass(frozen=True, slots=True)
class Example:
    """One image and its answer, ready to show."""

    image: str
    label: str
    answer: str
    energy: float
    p_value: float
    refused: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Gallery:
    """Images of one kind."""

    title: str
    total: int
    examples: tuple[Example, ...]


def write_report(
    directory: Path,
    *,
    bundle: Bundle,
    evaluation: Evaluation,
    data_report: Sequence[str] = (),
    examples: int = EXAMPLES,
) -> Path:
    """Write ``index.html`` and ``metrics.json``.

    Args:
        directory: where; made if absent.
        bundle: what was judged.
        evaluation: how it was judged. Its image files are read for the examples.
        data_report: lines on the data, shown as they are.
        examples: images shown of each kind; 0 keeps all images out of the report.

    Returns:
        The page.
    """
    directory.mkdir(parents=True, exist_ok=True)
    figures = summarize(evaluation)
    (directory / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    page = directory / "index.html"
    page.write_text(
        _template().render(
            bundle=bundle.manifest,
            threshold=bundle.threshold,
            figures=figures,
            cards=_cards(figures),
            pictures=_pictures(evaluation, figures, score=bundle.manifest.score.name),
            domains=drawn.domain_rows(figures),
            mistakes=_mistakes(evaluation),
            galleries=_galleries(evaluation, bundle, examples),
            data_report="\n".join(data_report),
            recipe=json.dumps(bundle.manifest.recipe, indent=2, ensure_ascii=False),
            provenance=json.dumps(bundle.manifest.provenance, indent=2, ensure_ascii=False),
            notices=Markup(NOTICES),
        ),
        encoding="utf-8",
    )
    return page


def _template() -> jinja2.Template:
    source = importlib.resources.files("training") / "templates" / "report.html.j2"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"rate": interval, "share": _share}
    return environment.from_string(source.read_text(encoding="utf-8"))


def _share(value: float) -> str:
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def _pictures(evaluation: Evaluation, figures: Figures, *, score: str) -> dict[str, Markup]:
    """Draw everything; the ROC needs unknown images."""
    pictures = {
        "histograms": drawn.histograms(evaluation, score=score),
        "domains": drawn.domain_bars(figures),
        "confusion": drawn.confusion_matrix(evaluation),
    }
    if figures["unknown"]:
        pictures["roc"] = drawn.roc_curves(evaluation, figures)
    return {name: Markup(svg) for name, svg in pictures.items()}  # our own: text is escaped


def _cards(figures: Figures) -> list[Card]:
    cards = [*_refusal_card(figures)]
    for name, title in ((KNOWN, "Right, calibrated styles"), (SHIFTED, "Right, other styles")):
        if part := figures[name]:
            accepted = part["accuracy_of_accepted"]
            detail = f"{_between(part['accuracy'])} of {part['images']:,} images"
            if accepted:
                detail += f"; {_share(accepted['rate'])} of those it accepts"
            cards.append(Card(title, _share(part["accuracy"]["rate"]), detail))
    for name, part in figures["unknown"].items():
        caught = part["caught"]
        detail = f"{_between(caught)} of {part['images']:,} images; measured, not promised"
        cards.append(Card(f"Caught: {name}", _share(caught["rate"]), detail))
    return cards


def _refusal_card(figures: Figures) -> list[Card]:
    if not (known := figures[KNOWN]):
        return []
    band, of = known["refusal_band"], known["images"]
    detail = (
        f"{band['refused']} of {of:,}; {_share(figures['promise']['expected_refusal'])} expected, "
        f"{band['least']} to {band['most']} images in 95 of 100 fresh sets"
    )
    return [Card("Known images refused", _share(known["refused"]["rate"]), detail, band["inside"])]


def _between(rate: Figures) -> str:
    return f"{100 * rate['low']:.1f}–{100 * rate['high']:.1f}\N{NO-BREAK SPACE}%"


def _mistakes(evaluation: Evaluation, *, most: int = 10) -> list[dict[str, Any]]:
    """Return what was most often accepted as something it is not."""
    rows, columns, counts = drawn.confusion_counts(evaluation)
    wrong = counts[:, :-1].copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        {
            "truth": rows[r],
            "answer": columns[c],
            "count": int(wrong[r, c]),
            "of": int(sum(counts[r])),
        }
        for r, c in places
        if wrong[r, c]
    ]


def _galleries(evaluation: Evaluation, bundle: Bundle, count: int) -> list[Gallery]:
    preprocess = bundle.manifest.preprocess.build()
    galleries = []
    for title, chosen in _kinds(evaluation):
        rows = [row for row in evaluation.rows if chosen(row)]
        order = np.random.default_rng(_SEED).permutation(len(rows))[:count]
        shown = sorted((rows[i] for i in order), key=lambda row: row.decision.score)
        examples = tuple(e for row in shown if (e := _example(row, preprocess)) is not None)
        if rows:
            galleries.append(Gallery(title, len(rows), examples))
    return galleries


def _kinds(evaluation: Evaluation) -> list[tuple[str, Callable[[Row], bool]]]:
    """Return the kinds of images that are shown, and which rows are of each."""

    def kind(*sets: str, refused: bool, right: bool | None = None) -> Callable[[Row], bool]:
        return lambda row: (
            row.set in sets
            and row.decision.rejected == refused
            and (right is None or row.correct == right)
        )

    unknown = evaluation.unknown_sets
    return [
        ("Known, accepted, right", kind(KNOWN, refused=False, right=True)),
        ("Known, accepted, wrong class", kind(KNOWN, refused=False, right=False)),
        ("Known, refused", kind(KNOWN, refused=True)),
        ("Known in other styles, accepted", kind(SHIFTED, refused=False)),
        ("Known in other styles, refused", kind(SHIFTED, refused=True)),
        ("Unknown, refused", kind(*unknown, refused=True)),
        ("Unknown, accepted: missed", kind(*unknown, refused=False)),
    ]


def _example(row: Row, preprocess: Preprocess) -> Example | None:
    """Return an image to show; None when its file is gone."""
    try:
        image = preprocess.open(row.path.read_bytes())
    except (OSError, ImageError):
        return None
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    decision, best = row.decision, row.decision.candidates[0]
    return Example(
        image=f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        label=row.label,
        answer=best.label,
        energy=decision.energy,
        p_value=decision.p_value,
        refused=decision.rejected,
        right=_is_right(row),
    )


def _is_right(row: Row) -> bool:
    if row.set in (KNOWN, SHIFTED):
        return row.correct and not row.decision.rejected
    return row.decision.rejected
