"""models.scores."""

import numpy as np
import pytest
from scipy import special

from models.scores import SCORES, energy, softmax


def test_energy_is_minus_temperature_times_logsumexp() -> None:
    """Against SciPy, at two temperatures."""
    logits_BK = np.random.default_rng(0).normal(scale=30, size=(6, 5))

    for t in (1.0, 2.5):
        expected_B = -t * special.logsumexp(logits_BK / t, axis=1)
        np.testing.assert_allclose(energy(logits_BK, temperature=t), expected_B, rtol=1e-12)


def test_energy_does_not_overflow() -> None:
    """Logits of a thousand stay finite."""
    assert energy(np.array([[1000.0, -1000.0]])) == pytest.approx([-1000.0])


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_higher_for_more_unusual(name: str) -> None:
    """A row that fits one class well scores lower than one that fits none."""
    familiar_then_unusual_BK = np.array([[30.0, 1.0, 2.0], [4.0, 3.5, 3.0]])

    familiar, unusual = SCORES[name](familiar_then_unusual_BK)

    assert familiar < unusual


def test_softmax_rows_sum_to_one() -> None:
    """Probabilities, whatever the size of the logits."""
    logits_BK = np.array([[800.0, 799.0], [-800.0, -700.0]])

    np.testing.assert_allclose(softmax(logits_BK).sum(axis=1), 1.0)
