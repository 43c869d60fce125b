"""Captions and the facts they claim."""

from collections import Counter

import numpy as np
import pytest

from training.toybox import palette
from training.toybox.captions import (
    ALIASES,
    OBJECTS,
    TEMPLATES,
    UNSAID,
    Naming,
    describe,
    say,
    truth,
    with_article,
)
from training.toybox.images import KNOWN, STYLES, UNKNOWN

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
    nouns = {*OBJECTS, *(alias for aliases in ALIASES.values() for alias in aliases)}
    for noun in nouns:
        for template in TEMPLATES:
            words = say(MUG, template, noun).rstrip(".").split()
            assert noun in words
            assert not set(words) & set(UNKNOWN)


def test_captions_read_like_sentences() -> None:
    """Articles fit the word that follows, and every fact of the template is said."""
    assert with_article("apple") == "an apple"
    assert say(MUG, TEMPLATES[0], "mug") == "a mug."
    full = "a cartoon of a red cup on an orange background."
    assert say(MUG, TEMPLATES[-1], "cup") == full


def test_naming_decides_what_objects_are_called() -> None:
    """Class names are as rare, and as often borrowed by other objects, as asked."""
    naming, rng = Naming(own=0.2, borrowed=0.1), np.random.default_rng(0)
    mugs = Counter(naming.noun("mug", rng) for _ in range(5000))
    assert set(mugs) == {"mug", *ALIASES["mug"]}
    assert mugs["mug"] / 5000 == pytest.approx(0.2, abs=0.02)
    apples = Counter(naming.noun("apple", rng) for _ in range(5000))
    assert set(apples) == {"apple", *KNOWN}
    assert apples["apple"] / 5000 == pytest.approx(0.9, abs=0.02)


def test_aliases_are_names_of_nothing_else() -> None:
    """Every known object has aliases, and no alias is an object or shared by two."""
    assert set(ALIASES) == set(KNOWN)
    aliases = [alias for group in ALIASES.values() for alias in group]
    assert len({*aliases, *OBJECTS, *UNKNOWN}) == len(aliases) + len(OBJECTS) + len(UNKNOWN)


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
    texts, claims_NF = describe(facts_NF, rng, Naming(own=0.5, borrowed=0.0))
    assert truth(facts_NF, claims_NF).diagonal().all()
    for fact, text in zip(facts_NF, texts, strict=True):
        name = OBJECTS[fact[0]]
        assert any(noun in text for noun in (name, *ALIASES.get(name, ())))


def test_a_photo_is_said_of_any_picture() -> None:
    """Photo captions claim no style, so they are true of a sketch of the same object."""
    rng = np.random.default_rng(0)
    photo, sketch = MUG.copy(), MUG.copy()
    photo[1], sketch[1] = STYLES.index("photo"), STYLES.index("sketch")
    _, claims_NF = describe(np.stack([photo] * 40), rng, Naming(own=1.0, borrowed=0.0))
    assert truth(np.stack([sketch] * 40), claims_NF).all()
