"""What selection prints and stores."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from tests.training.selection.test_choice import judgement, verdict
from training.selection.judge import CANDIDATES
from training.selection.select import Selection
from training.selection.table import as_csv, lines, summary
from training.tune import TuneConfig


@pytest.fixture(name="selection")
def _selection() -> Selection:
    """Return a choice between two settings, of which the second is better."""
    others = dict.fromkeys(CANDIDATES, 0.2) | {"energy": 0.1}
    far = others | {"knn": 0.98}
    rounds = [judgement(0.9, near=others | {"knn": 0.8 + x}, far=far) for x in (0.0, 0.1)]
    worse, better = verdict(judgement(0.4, near={"msp": 0.6}), judgement(0.4)), verdict(*rounds)
    config = replace(better.config, lambda_1=0.0)
    return Selection(config=config, score="knn", verdicts=[worse, replace(better, config=config)])


def test_the_table_has_every_setting_the_best_scores_and_energy(selection: Selection) -> None:
    """With intervals, which stay in 0 to 1."""
    text = "\n".join(lines(selection))

    assert (
        "lambda_1 1, lambda_2 1, ratio_image 0.2, ratio_mean 0  0.400 (0.400-0.400)  0.600, msp"
        in text
    )
    assert (
        "lambda_1 0, lambda_2 1, ratio_image 0.2, ratio_mean 0  0.900 (0.900-0.900)  0.850, knn"
        in text
    )
    assert any(
        line.split() == ["knn", "0.850", "(0.215-1.000)", "0.980", "(0.980-0.980)"]
        for line in lines(selection)
    )
    assert selection.chosen.worst("energy") < min(map(selection.chosen.worst, CANDIDATES[1:]))
    shown = lines(selection)[5:-3]
    assert [line.split()[0] for line in (shown[0], shown[-1])] == ["knn", "energy"]
    assert len(shown) == 8 + 1
    assert (
        "Chosen: adapter, lambda_1 0, lambda_2 1, ratio_image 0.2, ratio_mean 0; score knn." in text
    )


def test_the_file_has_everything_with_all_digits(selection: Selection) -> None:
    """A row a setting, score and kind; those of the choice are marked."""
    rows = list(csv.DictReader(io.StringIO(as_csv(selection))))

    assert len(rows) == len(CANDIDATES) * (1 + 2)
    chosen = [row for row in rows if row["chosen"] == "True"]
    assert [(row["score"], row["surrogate"]) for row in chosen] == [("knn", "near"), ("knn", "far")]
    assert float(chosen[0]["auroc"]) == pytest.approx(0.85, abs=1e-12)
    assert float(chosen[0]["auroc_low"]) == pytest.approx(0.2147, abs=1e-4)
    assert chosen[0]["auroc_high"] == "1.0"
    assert {(row["lambda_1"], row["accuracy"]) for row in rows} == {("1.0", "0.4"), ("0.0", "0.9")}


def test_one_line_says_what_was_chosen_or_why_nothing_was(selection: Selection) -> None:
    """For the notes of a bundle."""
    assert summary(selection).startswith("Chosen by the training images alone: adapter, lambda")
    nothing = Selection(config=TuneConfig(), score="energy", reason="there are 3 classes")
    assert summary(nothing) == "Nothing is selected, energy decides: there are 3 classes."
    assert lines(nothing) == [summary(nothing)]
