"""Rows -> tables: a short one for the terminal, a full one in Markdown."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Final

from training.comparison.judge import Row
from training.comparison.shift import SHIFTED
from training.comparison.summary import (
    Estimate,
    accuracies,
    brings_score,
    distinct,
    estimate,
    headline,
    intervals_are,
    seeds_of,
)

WIDTH: Final = 100
"""Of the terminal's table, in characters; more columns go below."""
MEAN: Final = "mean"
SELECTED: Final = "selected"
"""Stands for the scores of a method that brings its own."""
NO_UNKNOWN: Final = (
    "No unknown sets were given (--unknown NAME=DIR): accuracy alone, no AUROC and no FPR95."
)

_FPR95: Final = {
    "unknown missed": "ood_miss_at_id_keep_95",
    "known lost": "id_reject_at_ood_catch_95",
}
_ABOUT_FPR95: Final = (
    "Two numbers are called FPR95. *unknown missed*: the share of unknown images that pass where "
    "95 % of the known are kept (`ood_miss_at_id_keep_95`). *known lost*: the share of known "
    "images that are refused where 95 % of the unknown are caught (`id_reject_at_ood_catch_95`). "
    "Both in %, means without an interval: the error of their thresholds is not estimated."
)

_Cells = Mapping[tuple[str, str], str]
"""By row and column."""


def lines_of(rows: Sequence[Row]) -> list[str]:
    """Return the tables for a terminal: accuracy by known set, AUROC by score."""
    known, methods = _accuracy_columns(rows), distinct(rows, "method")
    right = {(m, _starred(k)): text(e) for (m, k), e in accuracy_by_set(rows).items()}
    lines = [f"Accuracy, %{_about_star(rows)}"]
    lines += [*_plain(methods, [_starred(name) for name in known], right), ""]
    if distinct(rows, "score"):
        area = {key: text(found) for key, found in auroc_by_score(rows).items()}
        lines.append(about_auroc(rows))
        if scores := shared_scores(rows):
            own = own_scoring(rows)
            lines += _plain([name for name in methods if name not in own], scores, area)
        for line in _about_selected(rows):
            lines += textwrap.wrap(line, WIDTH, subsequent_indent="  ")
        lines.append("")
    else:
        lines += [NO_UNKNOWN, ""]
    return [*lines, *textwrap.wrap(intervals_are(seeds_of(rows)), WIDTH)]


def markdown(rows: Sequence[Row]) -> str:
    """Return everything: accuracies, the summary with both FPR95, and each pair of sets."""
    known, methods = _accuracy_columns(rows), distinct(rows, "method")
    right = {(m, k): text(e) for (m, k), e in accuracy_by_set(rows).items()}
    parts = ["# Comparison", intervals_are(seeds_of(rows)), "## Accuracy, %"]
    parts.append(markdown_table("method", methods, known, right))
    if not distinct(rows, "score"):
        return "\n\n".join([*parts, NO_UNKNOWN]) + "\n"
    parts += [f"## {about_auroc(rows)}", _ABOUT_FPR95, _pairs_table(_of_headline(rows))]
    parts += _about_selected(rows)
    for (one, other), pair in _grouped(rows, "known", "unknown").items():
        parts += [f"## {other} against {one}", _pairs_table(pair)]
    return "\n\n".join(parts) + "\n"


def accuracy_by_set(rows: Sequence[Row]) -> dict[tuple[str, str], Estimate]:
    """Return the accuracy by method and known set, and their mean over the headline's sets."""
    once = accuracies(rows)
    groups = _grouped(once, "method", "known")
    groups |= {
        (method, MEAN): own for (method,), own in _grouped(_of_headline(once), "method").items()
    }
    return {(key[0], key[1]): estimate(members, "accuracy") for key, members in groups.items()}


def auroc_by_score(rows: Sequence[Row]) -> dict[tuple[str, str], Estimate]:
    """Return the AUROC by method and score: the mean over the headline's and unknown sets.

    A method that brings its own score has one, `SELECTED`, whatever its scores are called.
    """
    groups = _grouped(_in_columns(_of_headline(rows)), "method", "score")
    return {(key[0], key[1]): estimate(members, "auroc") for key, members in groups.items()}


def shared_scores(rows: Sequence[Row]) -> list[str]:
    """Return the scores that methods without their own are judged under."""
    return distinct([row for row in rows if not brings_score(row)], "score")


def own_scoring(rows: Sequence[Row]) -> list[str]:
    """Return the methods that bring their own score."""
    return distinct([row for row in rows if brings_score(row)], "method")


def text(found: Estimate) -> str:
    """Write an estimate in percent: ``91.3 ± 0.4``."""
    return f"{100 * found.mean:.1f} ± {100 * found.half:.1f}"


def _of_headline(rows: Sequence[Row]) -> list[Row]:
    sets = headline(rows)
    return [row for row in rows if row["known"] in sets]


def _in_columns(rows: Sequence[Row]) -> list[Row]:
    return [row | {"score": SELECTED} if brings_score(row) else row for row in rows]


def _about_selected(rows: Sequence[Row]) -> list[str]:
    """Give each method's AUROC by its own score, and say how often that was which."""
    area = auroc_by_score(rows)
    return [
        f"{name}, by the score it selected: {text(area[name, SELECTED])} "
        f"({_choices([row for row in rows if row['method'] == name])})"
        for name in own_scoring(rows)
    ]


def _choices(rows: Sequence[Row]) -> str:
    """Count what was selected, the most frequent first: ``knn in 2 of 3 trials, energy in 1``."""
    by_trial = {(row["trial"], row["seed"]): (row["selected"], row["score"]) for row in rows}
    counts = Counter(by_trial.values()).most_common()
    names = [
        score if chosen is not None else f"{score} (nothing to select by)"
        for (chosen, score), _ in counts
    ]
    (_, first), *rest = counts
    head = f"{names[0]} in {first} of {len(by_trial)} trials"
    return ", ".join([head, *(f"{n} in {c}" for n, (_, c) in zip(names[1:], rest, strict=True))])


def _grouped(rows: Sequence[Row], *keys: str) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _accuracy_columns(rows: Sequence[Row]) -> list[str]:
    """Return the headline's sets, their mean if there are two or more, and all other sets."""
    first = headline(rows)
    rest = [name for name in distinct(rows, "known") if name not in first]
    return [*first, *([MEAN] if len(first) > 1 else []), *rest]


def about_auroc(rows: Sequence[Row]) -> str:
    """Say what the summary's AUROC is a mean of."""
    unknown, known = distinct(rows, "unknown"), headline(rows)
    shifted = "shifted " if known[0].endswith(SHIFTED) else ""
    of = unknown[0] if len(unknown) == 1 else f"{len(unknown)} unknown sets"
    against = known[0] if len(known) == 1 else f"{len(known)} {shifted}known sets"
    mean_of = "" if len(unknown) == len(known) == 1 else "mean of "
    return f"AUROC, %: {mean_of}{of} against {against}"


def _starred(known: str) -> str:
    """Return a shorter name of a shifted set, for a table that is narrow."""
    return f"{known.removesuffix(SHIFTED)}*" if known.endswith(SHIFTED) else known


def _about_star(rows: Sequence[Row]) -> str:
    shifted = any(name.endswith(SHIFTED) for name in headline(rows))
    return " (* = shifted: no training image is from there)" if shifted else ""


def _pairs_table(rows: Sequence[Row]) -> str:
    columns = ["AUROC", *_FPR95]
    cells: dict[tuple[str, str], str] = {}
    names = []
    for key, own in _grouped(_in_columns(rows), "method", "score").items():
        names.append(" | ".join(key))
        cells[names[-1], "AUROC"] = text(estimate(own, "auroc"))
        for column, figure in _FPR95.items():
            cells[names[-1], column] = f"{100 * mean(row[figure] for row in own):.1f}"
    return markdown_table("method | score", names, columns, cells)


def markdown_table(corner: str, names: Sequence[str], columns: Sequence[str], cells: _Cells) -> str:
    """Return a table in Markdown: names down, columns across."""
    head = f"| {corner} | {' | '.join(columns)} |"
    rule = "|---" * (head.count("|") - 1) + "|"
    body = [
        f"| {name} | {' | '.join(cells[name, column] for column in columns)} |" for name in names
    ]
    return "\n".join([head, rule, *body])


def _plain(names: Sequence[str], columns: Sequence[str], cells: _Cells) -> list[str]:
    """Return aligned lines, in as many blocks of columns as fit `WIDTH`."""
    left = max(map(len, names))
    lines = []
    for block in _blocks(columns, cells, names, room=WIDTH - left):
        lines.append(" " * left + "".join(f"  {name:>{width}}" for name, width in block.items()))
        lines += [
            f"{name:<{left}}" + "".join(f"  {cells[name, c]:>{w}}" for c, w in block.items())
            for name in names
        ]
    return lines


def _blocks(
    columns: Sequence[str], cells: _Cells, names: Sequence[str], *, room: int
) -> list[dict[str, int]]:
    """Return the widths of columns, in blocks; each block holds a column at least."""
    blocks: list[dict[str, int]] = [{}]
    for column in columns:
        width = max(len(column), *(len(cells[name, column]) for name in names))
        used = sum(blocks[-1].values()) + 2 * len(blocks[-1])
        if blocks[-1] and used + width + 2 > room:
            blocks.append({})
        blocks[-1][column] = width
    return blocks
