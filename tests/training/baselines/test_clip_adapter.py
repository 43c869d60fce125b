"""CLIP-Adapter's formula, and what its ratio means."""

from __future__ import annotations

import numpy as np

from tests.training.baselines.problems import DIM, few_shot, plain
from training.baselines.clip_adapter import ClipAdapter, clip_adapter
from training.baselines.tuned import ensemble


def test_logits_by_hand() -> None:
    """One hidden unit that sees the first coordinate and writes to the second."""
    adapter = ClipAdapter(
        down_HD=np.array([[1.0, 0.0]], dtype=np.float32),
        up_DH=np.array([[-1.0], [2.0]], dtype=np.float32),
        prototypes_KD=np.eye(2),
        ratio=0.5,
        logit_scale=10.0,
    )
    u_BD = np.array([[0.5 * 0.6, 0.5 * 1.2 + 0.5 * 0.8], [-0.5, 0.0]])
    expected_BK = 10 * u_BD / np.linalg.norm(u_BD, axis=1, keepdims=True)
    logits_BK = adapter.logits(np.array([[3.0, 4.0], [-2.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(logits_BK, expected_BK, rtol=1e-6)


def test_at_ratio_zero_it_is_zero_shot() -> None:
    """Whatever was trained has no share in the features."""
    x_ND, _ = plain(50, seed=4)
    adapted = clip_adapter(few_shot(), ratio=0.0)
    np.testing.assert_allclose(adapted.logits(x_ND), ensemble(few_shot()).logits(x_ND), atol=1e-5)


def test_the_bottleneck_is_a_quarter_as_wide() -> None:
    """And a fifth of the features is the adapter's."""
    adapter = clip_adapter(few_shot(epochs=1))
    assert adapter.down_HD.shape == (DIM // 4, DIM)
    assert adapter.up_DH.shape == (DIM, DIM // 4)
    assert adapter.ratio == 0.2
