"""models.threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ConfigError
from models.threshold import Threshold, p_value

# Few distinct values, so that ties are everywhere.
tied_scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)


@given(scores=tied_scores, new=st.integers(-4, 4).map(float), data=st.data())
def test_rejected_exactly_when_the_p_value_is_at_most_the_cut(
    scores: list[float], new: float, data: st.DataObject
) -> None:
    """score > threshold and p <= rank / (n + 1) are one statement, ties included."""
    descending_n = np.sort(np.array(scores))[::-1]
    rank = data.draw(st.integers(1, len(scores)))
    threshold = Threshold(
        method="conformal",
        alpha=0.5,
        delta=None,
        n=len(scores),
        rank=rank,
        value=float(descending_n[rank - 1]),
    )

    assert threshold.rejects(new) == (p_value(descending_n, new) <= threshold.p_cut)


def test_p_values_by_hand() -> None:
    """(1 + how many are at least as unusual) / (n + 1)."""
    descending_n = np.array([9.0, 7.0, 7.0, 1.0])

    p = [p_value(descending_n, score) for score in (10.0, 9.0, 7.0, 2.0, 0.0)]

    assert p == [1 / 5, 2 / 5, 4 / 5, 4 / 5, 5 / 5]


@pytest.mark.parametrize(
    ("field", "value"),
    [("alpha", 0.0), ("delta", None), ("rank", 0), ("rank", 101), ("value", float("nan"))],
)
def test_impossible_thresholds_are_refused_by_field(field: str, value: float | None) -> None:
    """No calibration can have given them."""
    fields = {"method": "pac", "alpha": 0.05, "delta": 0.05, "n": 100, "rank": 2, "value": -3.0}

    with pytest.raises(ConfigError, match=f"threshold field `{field}` cannot be"):
        Threshold(**(fields | {field: value}))  # type: ignore[arg-type]
