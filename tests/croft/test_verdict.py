"""croft.verdict and croft.demo_text: the demo fails when what it promises does not hold."""

from dataclasses import replace

import pytest

from croft.demo_text import answers, summary
from croft.traffic import Sent
from croft.verdict import Verdict, judge
from models.threshold import Threshold

THRESHOLD = Threshold(method="pac", alpha=0.05, delta=0.05, n=500, rank=17, value=-3.0)


def sent(name: str, count: int, *, rejected: int = 0, label: str | None = None) -> list[Sent]:
    """Return answers of which the first few are refusals."""
    return [
        Sent(name, "photo", 200, {
            "rejected": i < rejected, "label": None if i < rejected else label or name,
            "energy": -2.0, "p_value": 0.01,
        })
        for i in range(count)
    ]  # fmt: skip


def traffic(*, known_refused: int = 7, unknown_refused: int = 80) -> dict[str, list[Sent]]:
    """Return what a working service would have answered."""
    broken = {"title": "Undecodable image", "detail": "truncated", "error": "truncated"}
    return {
        "known": sent("mug", 200, rejected=known_refused),
        "shifted": sent("mug", 100, rejected=30),
        "unknown": sent("guitar", 100, rejected=unknown_refused, label="key"),
        "textures": sent("texture", 20, rejected=20),
        "broken": [Sent("mug", "photo, cut off", 422, broken)],
    }


def verdict(answers: dict[str, list[Sent]]) -> Verdict:
    """Judge as the demo does."""
    return judge(THRESHOLD, answers, confidence=0.99, catch_floor=0.5)


def test_good_traffic_passes_and_is_printed() -> None:
    """Refusals near 17/501 of the known, most unknown ones caught, the broken file named."""
    good = traffic()

    assert verdict(good).passed
    text = answers(good) + summary(verdict(good))
    assert "PASSED" in text
    assert "refused: not one of the known classes" in text
    assert "Undecodable image" in text


@pytest.mark.parametrize(
    "bad",
    [
        traffic(known_refused=60),
        traffic(known_refused=0),
        traffic(unknown_refused=49),
    ],
    ids=["refuses too much", "refuses nothing", "catches too little"],
)
def test_a_broken_promise_fails(bad: dict[str, list[Sent]]) -> None:
    """Above the band, below it, or under the floor: each alone fails the demo."""
    assert not verdict(bad).passed
    assert "FAILED" in summary(verdict(bad))


def test_a_broken_file_that_is_answered_fails() -> None:
    """A truncated image must get its 422."""
    good = verdict(traffic())

    assert not replace(good, broken=Sent("mug", "", 200, {})).passed
