"""What selection found, for people: a few lines, and everything as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from training.selection.choice import Figure, Verdict
from training.selection.judge import CANDIDATES
from training.selection.select import Selection
from training.tune import TuneConfig

CSV: Final = "report/selection.csv"
"""Where a bundle has everything that was tried."""

_COLUMNS: Final = (
    *("tuning", "lambda_1", "lambda_2", "ratio_image", "ratio_mean"),
    *("accuracy", "accuracy_low", "accuracy_high"),
    *("score", "surrogate", "auroc", "auroc_low", "auroc_high", "chosen"),
)

_SHOWN: Final = 8
"""Scores of the chosen setting that are printed, the best first."""


def lines(selection: Selection) -> list[str]:
    """Return the settings, the best scores of the chosen one, and the choice.

    Brackets hold 95 % intervals over the rounds.
    """
    if selection.reason is not None:
        return [f"Nothing is selected, energy decides: {selection.reason}."]
    chosen = selection.chosen
    return [
        *_settings(selection.verdicts),
        "",
        *_scores(chosen),
        "",
        f"Chosen: {describe(chosen.config)}; score {selection.score}. A setting counts by accuracy "
        "plus its best score's worst AUROC.",
        "Brackets: 95 % over rounds, too narrow, since rounds share images. The best of so many "
        "flatters itself: what it is worth is seen on other images.",
    ]


def summary(selection: Selection) -> str:
    """Return one line for a bundle's notes."""
    if selection.reason is not None:
        return lines(selection)[0]
    return (
        f"Chosen by the training images alone: {describe(selection.config)}; score "
        f"{selection.score}. Everything tried is in {CSV}."
    )


def describe(config: TuneConfig) -> str:
    """Return what selection varies, in one line."""
    return (
        f"{config.tuning}, lambda_1 {config.lambda_1:g}, lambda_2 {config.lambda_2:g}, "
        f"ratio_image {config.ratio_image:g}, ratio_mean {config.ratio_mean:g}"
    )


def as_csv(selection: Selection) -> str:
    """Return one row a setting, score and kind of surrogate, with every digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(row for verdict in selection.verdicts for row in _rows(verdict, selection))
    return text.getvalue()


def _rows(verdict: Verdict, selection: Selection) -> Iterator[tuple[object, ...]]:
    config, right = verdict.config, Figure.of(verdict.accuracies_R)
    lambdas, ratios = (config.lambda_1, config.lambda_2), (config.ratio_image, config.ratio_mean)
    varied = (config.tuning, *lambdas, *ratios)
    for score in CANDIDATES:
        chosen = config == selection.config and score == selection.score
        for kind, figure in verdict.aurocs(score).items():
            yield (*varied, *_bounded(right), score, kind, *_bounded(figure), chosen)


def _settings(verdicts: Sequence[Verdict]) -> list[str]:
    width = max(len(describe(verdict.config)) for verdict in verdicts)
    head = f"{'setting':<{width}}  {'accuracy':<19}  worst AUROC, of the score"
    return [head] + [
        f"{describe(v.config):<{width}}  {_interval(Figure.of(v.accuracies_R)):<19}  "
        f"{v.worst(v.best_score):.3f}, {v.best_score}"
        for v in verdicts
    ]


def _scores(verdict: Verdict) -> list[str]:
    best = sorted(CANDIDATES, key=verdict.worst, reverse=True)[:_SHOWN]
    shown = [*best, *(["energy"] if "energy" not in best else [])]
    kinds = list(verdict.aurocs("energy"))
    width = max(len(score) for score in shown)
    head = f"{'AUROC by score':<{width}}  " + "  ".join(f"{kind:<19}" for kind in kinds)
    return [head.rstrip()] + [
        f"{score:<{width}}  "
        + "  ".join(f"{_interval(figure):<19}" for figure in verdict.aurocs(score).values())
        for score in shown
    ]


def _interval(figure: Figure) -> str:
    mean, low, high = _bounded(figure)
    return f"{mean:.3f} ({low:.3f}-{high:.3f})"


def _bounded(figure: Figure) -> tuple[float, float, float]:
    """Return mean and bounds; a share beyond 0 or 1 is none."""
    return figure.mean, max(0.0, figure.low), min(1.0, figure.high)
