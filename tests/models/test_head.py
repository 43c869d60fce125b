"""models.head."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.errors import ConfigError
from models.head import Head


def unit_rows(rng: np.random.Generator, rows: int, dim: int) -> NDArray[np.float32]:
    """Return random directions."""
    x_KD = rng.normal(size=(rows, dim))
    x_KD /= np.linalg.norm(x_KD, axis=1, keepdims=True)
    return np.asarray(x_KD, dtype=np.float32)


def random_head(seed: int = 0, *, dim: int = 48, num_classes: int = 11) -> Head:
    """Return a head of random numbers."""
    rng = np.random.default_rng(seed)
    transform_DD = rng.normal(size=(dim, dim)).astype(np.float32)
    return Head(transform_DD, unit_rows(rng, num_classes, dim), 100.0)


@given(batch=st.integers(1, 32), seed=st.integers(0, 99))
def test_logits_do_not_depend_on_the_batch(batch: int, seed: int) -> None:
    """A row's logits have the same bits alone and in any batch."""
    head = random_head(seed)
    x_BD = np.random.default_rng(seed).normal(size=(batch, 48)).astype(np.float32)

    together_BK = head.logits(x_BD)

    assert np.array_equal(together_BK, np.concatenate([head.logits(row[None]) for row in x_BD]))


def test_logits_are_scaled_cosines() -> None:
    """Against the formula in plain matrix algebra."""
    head = random_head()
    x_BD = np.random.default_rng(1).normal(size=(5, 48)).astype(np.float32)
    u_BD = x_BD.astype(np.float64) @ head.image_transform_DD
    u_BD /= np.linalg.norm(u_BD, axis=1, keepdims=True)

    np.testing.assert_allclose(head.logits(x_BD), 100 * u_BD @ head.prototypes_KD.T, rtol=1e-9)


def test_no_transform_is_the_identity_bit_for_bit() -> None:
    """It is left out where there is none, which must change nothing."""
    x_BD = np.random.default_rng(2).normal(size=(5, 48)).astype(np.float32)
    identity = np.eye(48, dtype=np.float32)
    plain = Head(identity, random_head().prototypes_KD, 100.0)
    object.__setattr__(forced := replace(plain), "_plain", False)

    assert np.array_equal(plain.logits(x_BD), forced.logits(x_BD))
    assert np.array_equal(plain.outputs(x_BD).adapted_BD, forced.outputs(x_BD).adapted_BD)


def test_the_zero_embedding_is_most_unusual_not_nan() -> None:
    """An embedding without a direction has cosine 0 with every class."""
    assert np.array_equal(random_head().logits(np.zeros((1, 48), np.float32)), np.zeros((1, 11)))


def test_impossible_heads_are_refused() -> None:
    """Wrong shapes, NaN, rows that are not unit, a scale of zero."""
    good = random_head()
    with pytest.raises(ConfigError, match=r"`image_transform` must be \(D, D\)"):
        Head(good.image_transform_DD[:, :3], good.prototypes_KD, 1.0)
    with pytest.raises(ConfigError, match="`prototypes_KD` must be finite"):
        Head(good.image_transform_DD, good.prototypes_KD * np.float32(np.nan), 1.0)
    with pytest.raises(ConfigError, match="unit rows"):
        Head(good.image_transform_DD, good.prototypes_KD * np.float32(2), 1.0)
    with pytest.raises(ConfigError, match="logit_scale is 0"):
        Head(good.image_transform_DD, good.prototypes_KD, 0.0)
