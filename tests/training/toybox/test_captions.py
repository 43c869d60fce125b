"""Captions and the facts they claim."""

import numpy as np

from training.toybox import palette
from training.toybox.captions import (
    OBJECTS,
    TEMPLATES,
    UNSAID,
    describe,
    say,
    truth,
    with_article,
)
from training.toybox.images import STYLES, UNKNOWN

MUG = np.array(
    [
        OBJECTS.index("mug"),
        STYLES.index("cartoon"),
        palette.NAMES.index("red"),
        palette.NAMES.index("orange"),
    ]
)


def test_no_caption_names_an_unknown_object() -> None:
    """Whatever is said about any object in pretraining, no unknown one is mentioned."""
    for thing in range(len(OBJECTS)):
        for template in TEMPLATES:
            words = say(np.array([thing, 0, 0, 0]), template).rstrip(".").split()
            assert not set(words) & set(UNKNOWN)


def test_captions_read_like_sentences() -> None:
    """Articles fit the word that follows, and every fact of the template is said."""
    assert with_article("apple") == "an apple"
    assert say(MUG, TEMPLATES[0]) == "a mug."
    assert say(MUG, TEMPLATES[-1]) == "a cartoon of a red mug on an orange background."


def test_templates_say_what_they_claim() -> None:
    """A template claims a fact exactly when its text has the slot for it."""
    for template in TEMPLATES:
        slots = ("{object}", "{style}", "{colour}", "{background}")
        said = tuple(slot in template.text for slot in slots)
        assert (said[0] or "{noun}" in template.text, *said[1:]) == template.says


def test_a_caption_is_true_of_its_own_image_and_of_every_other_that_fits() -> None:
    """Unsaid facts do not matter; a wrong object, style or colour makes a caption false."""
    blue = MUG.copy()
    blue[2] = palette.NAMES.index("blue")
    facts_NF = np.stack([MUG, blue])
    claims_NF = np.array([[MUG[0], MUG[1], UNSAID, UNSAID], MUG])
    np.testing.assert_array_equal(truth(facts_NF, claims_NF), [[True, True], [True, False]])


def test_random_captions_are_true() -> None:
    """Every caption drawn for a batch is true of its own image."""
    rng = np.random.default_rng(0)
    high = (len(OBJECTS), len(STYLES), len(palette.NAMES), len(palette.NAMES))
    facts_NF = rng.integers(0, high, (64, 4))
    texts, claims_NF = describe(facts_NF, rng)
    assert truth(facts_NF, claims_NF).diagonal().all()
    assert all(OBJECTS[fact[0]] in text for fact, text in zip(facts_NF, texts, strict=True))
