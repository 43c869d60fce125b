"""The images of pretraining and what is known about them."""

from collections import Counter

import numpy as np
import pytest

from training.toybox import palette
from training.toybox.captions import OBJECTS
from training.toybox.corpus import draw_corpus, mixed_jobs
from training.toybox.images import STYLES, UNKNOWN, render_scene

SHARES = {"photo": 0.9, "sketch": 0.1}


def test_jobs_cover_all_objects_and_keep_the_shares() -> None:
    """Objects are equally frequent but for their weights, styles as asked, unknown ones absent."""
    jobs = mixed_jobs(seed=1, images=3600, shares=SHARES, weights={"gadget": 4.0}, side=8)
    names, styles = Counter(job[0] for job in jobs), Counter(job[1] for job in jobs)
    assert set(names) == set(OBJECTS)
    assert not set(names) & set(UNKNOWN)
    assert names["gadget"] == 4 * names["mug"]
    assert styles["sketch"] / len(jobs) == pytest.approx(0.1, abs=0.02)


def test_facts_belong_to_their_image() -> None:
    """Pixels and facts are those of the job's own scene."""
    corpus = draw_corpus([("key", "cartoon", 3, 7, 32)])
    _, scene = render_scene("key", "cartoon", seed=3, index=7)
    assert scene is not None
    thing, style, colour, background = corpus.facts_NF[0]
    assert (OBJECTS[thing], STYLES[style]) == ("key", "cartoon")
    assert palette.NAMES[colour] == scene.colour_name
    assert palette.NAMES[background] == scene.background_name
    assert corpus.pixels_NHWC.shape == (1, 32, 32, 3)


@pytest.mark.slow
def test_processes_do_not_change_the_images() -> None:
    """Two processes draw exactly what one does, in the same order."""
    jobs = mixed_jobs(seed=2, images=70, shares=SHARES, weights={}, side=16)
    alone, shared = draw_corpus(jobs), draw_corpus(jobs, processes=2)
    np.testing.assert_array_equal(alone.pixels_NHWC, shared.pixels_NHWC)
    np.testing.assert_array_equal(alone.facts_NF, shared.facts_NF)
