"""training.summary, on answers made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.decision import Candidate, Decision
from models.threshold import Threshold
from training.evaluate import KNOWN, SHIFTED, Evaluation, Row
from training.summary import summarize

# A threshold of 10: the rank of 2 among 93 promises 5 %.
THRESHOLD = Threshold(method="pac", alpha=0.05, delta=0.05, n=93, rank=2, value=10.0)


def row(
    name: str, score: float, *, right: bool = True, domain: str | None = None, label: str = "cup"
) -> Row:
    """Return an image of a cup with this score, taken for a cup or for a hat."""
    best = Candidate("cup" if right else "hat", 0 if right else 1, 0.8)
    rejected = THRESHOLD.rejects(score)
    decision = Decision(
        label=None if rejected else best.label,
        rejected=rejected,
        energy=score,
        score=score,
        p_value=0.5,
        candidates=(best,),
    )
    return Row(name, Path("x.jpg"), label, domain, decision, {"energy": score, "msp": -score})


def evaluation(*rows: Row) -> Evaluation:
    """Return an evaluation of these rows."""
    return Evaluation(rows, THRESHOLD, ("cup", "hat"), {"energy": THRESHOLD.value, "msp": -3.0})


@pytest.fixture
def figures() -> dict[str, Any]:
    """Return the figures of four known, two shifted and three unknown images."""
    return summarize(
        evaluation(
            row(KNOWN, 1.0, domain="photo"),
            row(KNOWN, 2.0, domain="photo", right=False),
            row(KNOWN, 3.0, domain="cartoon"),
            row(KNOWN, 11.0, domain="cartoon"),
            row(SHIFTED, 4.0, domain="sketch"),
            row(SHIFTED, 12.0, domain="sketch", right=False),
            row("things", 2.5, label="guitar"),
            row("things", 10.0, label="guitar"),
            row("things", 20.0, label="guitar"),
        )
    )


def test_accuracy_counts_refused_images_too_and_accepted_ones_apart(
    figures: dict[str, Any],
) -> None:
    """Three of four known images are right; two of the three that were accepted."""
    known = figures["known"]

    assert (known["accuracy"]["count"], known["accuracy"]["of"]) == (3, 4)
    accepted = known["accuracy_of_accepted"]
    assert (accepted["count"], accepted["of"]) == (2, 3)
    assert known["ece"] == pytest.approx(abs(0.8 - 3 / 4))


def test_refusal_is_compared_with_its_band(figures: dict[str, Any]) -> None:
    """One of four is refused: within what 93 calibration images allow."""
    band = figures["known"]["refusal_band"]

    assert figures["known"]["refused"]["rate"] == 0.25
    assert (band["refused"], band["least"], band["most"], band["inside"]) == (1, 0, 1, True)
    assert "refusal_band" not in figures["shifted"]  # nothing is promised there


def test_too_many_refusals_are_outside_the_band() -> None:
    """All of ten."""
    figures = summarize(evaluation(*(row(KNOWN, 11.0) for _ in range(10))))

    assert figures["known"]["refusal_band"]["inside"] is False
    assert figures["known"]["accuracy_of_accepted"] is None


def test_domains_are_told_apart_by_whether_they_were_calibrated_on(
    figures: dict[str, Any],
) -> None:
    """Each with its own accuracy and refusal."""
    domains = figures["domains"]

    assert {name: part["calibrated"] for name, part in domains.items()} == {
        "cartoon": True,
        "photo": True,
        "sketch": False,
    }
    assert domains["photo"]["accuracy"]["rate"] == 0.5
    assert domains["sketch"]["refused"]["rate"] == 0.5


def test_unknown_images_are_compared_with_all_and_with_correct_ones(
    figures: dict[str, Any],
) -> None:
    """A score equal to the threshold is accepted: one of three is caught."""
    things = figures["unknown"]["things"]

    assert (things["caught"]["count"], things["caught"]["of"]) == (1, 3)
    # Pairs in order: 2.5 beats 1, 2; 10 beats 1, 2, 3; 20 beats all four.
    assert things["against_known"]["all"]["auroc"] == pytest.approx(9 / 12)
    # Without the wrong one, 2.0: 1 + 2 + 3 of 9.
    assert things["against_known"]["correct"]["auroc"] == pytest.approx(6 / 9)
    assert things["against_shifted"]["all"]["auroc"] == pytest.approx((0 + 1 + 2) / 6)
    assert things["against_shifted"]["correct"]["auroc"] == pytest.approx((0 + 1 + 1) / 3)


def test_every_score_is_judged_at_its_own_threshold(figures: dict[str, Any]) -> None:
    """One that turns the deciding one around; that one's figures are the same as above."""
    energy, other = figures["scores"]["energy"], figures["scores"]["msp"]
    against = figures["unknown"]["things"]["against_known"]["all"]

    assert (energy["threshold"], other["threshold"]) == (10.0, -3.0)
    assert energy["refused"] == {"known": 1 / 4, "shifted": 1 / 2}
    assert other["refused"] == {"known": 2 / 4, "shifted": 0.0}
    assert energy["unknown"]["things"]["caught"] == 1 / 3
    assert other["unknown"]["things"]["caught"] == 1 / 3
    for name, value in energy["unknown"]["things"]["against_known"].items():
        assert value == against[name]
    assert other["unknown"]["things"]["against_known"]["auroc"] == pytest.approx(
        1 - against["auroc"]
    )
    assert set(other["unknown"]["things"]["against_shifted"]) == {
        "auroc",
        "ood_miss_at_id_keep_95",
        "id_reject_at_ood_catch_95",
    }


def test_what_was_not_given_is_none() -> None:
    """Shifted images alone have no band, and are compared with."""
    figures = summarize(evaluation(row(SHIFTED, 1.0), row("things", 2.0)))

    assert figures["known"] is None
    assert figures["unknown"]["things"]["against_known"] is None
    assert figures["scores"]["msp"]["refused"] == {"known": None, "shifted": 1.0}
    assert figures["scores"]["msp"]["unknown"]["things"]["against_known"] is None
    assert figures["unknown"]["things"]["against_shifted"]["all"]["auroc"] == 1.0
    assert figures["domains"] == {}


def test_no_correct_image_means_no_comparison_with_correct_ones() -> None:
    """Rather than an error, or an area over nothing."""
    figures = summarize(evaluation(row(KNOWN, 1.0, right=False), row("things", 2.0)))

    assert figures["unknown"]["things"]["against_known"]["correct"] is None


def test_the_figures_are_plain_json_and_always_the_same(figures: dict[str, Any]) -> None:
    """No numpy types, no NaN; the bootstrap has a seed."""
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_the_promise_is_in_the_figures(figures: dict[str, Any]) -> None:
    """In numbers and in words."""
    promise = figures["promise"]

    assert promise["expected_refusal"] == 2 / 94
    assert promise["marginal"] is False
    assert promise["text"].endswith("at most 5 % with 95 % confidence")
