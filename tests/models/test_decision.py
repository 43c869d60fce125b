"""models.decision."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.decision import decide
from models.encoder import OnnxEncoder
from models.scores import STANDARD
from tests.bundles import KNOWN, PREPROCESS, UNKNOWN, colour_image, load_tiny


@pytest.mark.parametrize("score", STANDARD)
def test_known_images_are_named_and_unknown_ones_rejected(tmp_path: Path, score: str) -> None:
    """Whatever score decides, the energy is reported and the p-value agrees with the verdict."""
    bundle = load_tiny(tmp_path / "b", score=score)
    encoder = OnnxEncoder(bundle.encoder_path)

    for name in (*KNOWN, *UNKNOWN):
        pixels_HWC = PREPROCESS.pixels(colour_image(name, seed=1))
        decision = decide(bundle, encoder.embed(pixels_HWC[None])[0], top_k=2)
        assert decision.rejected == (decision.score > bundle.threshold.value)
        assert decision.rejected == (decision.p_value <= bundle.threshold.p_cut)
        assert decision.label == (None if decision.rejected else name)
        assert (decision.energy == decision.score) == (score == "energy")
        assert len(decision.candidates) == 2
        if score == "energy":
            assert decision.rejected == (name in UNKNOWN)


def test_candidates_are_ordered_and_indexed(tmp_path: Path) -> None:
    """Best first; the index is the class's position in the manifest."""
    bundle = load_tiny(tmp_path / "b")
    prototype_D = bundle.head.prototypes_KD[1]

    candidates = decide(bundle, prototype_D, top_k=99).candidates

    assert (candidates[0].label, candidates[0].index) == ("green", 1)
    assert [c.probability for c in candidates] == sorted(
        (c.probability for c in candidates), reverse=True
    )
    assert np.isclose(sum(c.probability for c in candidates), 1.0)


def test_a_score_that_is_no_number_decides_nothing(tmp_path: Path) -> None:
    """It would be neither above nor below the threshold, and pass."""
    bundle = load_tiny(tmp_path / "b", score="msp")
    scores = {**bundle.scores, "msp": lambda _: np.array([np.nan])}
    broken = replace(bundle, scores=scores)  # type: ignore[arg-type]  # a score without tensors
    with pytest.raises(ArithmeticError, match="msp of the image is nan"):
        decide(broken, np.ones(len(bundle.head.image_transform_DD), np.float32))
