"""The images that a Toybox encoder is pretrained on, held in memory with their facts.

Axes: N images, F = 4 facts (object, style, colour, background), H, W, C pixels.
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.toybox import palette
from training.toybox.captions import OBJECTS, Facts
from training.toybox.images import STYLES, Pixels, render_scene

Job = tuple[str, str, int, int, int]
"""Object, style, seed, index, side in pixels."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Images and what is true of them."""

    pixels_NHWC: Pixels
    """uint8 (N, side, side, 3)."""
    facts_NF: Facts
    """Indices into OBJECTS, STYLES and twice palette.NAMES, (N, 4)."""


def draw_corpus(jobs: list[Job], *, processes: int = 1) -> Corpus:
    """Return the images of the jobs, drawn by so many processes; the result is the same for any."""
    if processes == 1:
        return _gather(map(_draw, jobs), len(jobs))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return _gather(pool.map(_draw, jobs, chunksize=64), len(jobs))


def mixed_jobs(
    *, seed: int, images: int, shares: dict[str, float], weights: dict[str, float], side: int
) -> list[Job]:
    """Return jobs for about so many images: every object in turn, styles by their shares.

    ``weights`` makes an object more frequent than the others, whose weight is 1.
    """
    rng = np.random.default_rng([seed, 1])
    total = sum(weights.get(name, 1.0) for name in OBJECTS)
    jobs: list[Job] = []
    for name in OBJECTS:
        count = round(images * weights.get(name, 1.0) / total)
        styles = rng.choice(len(shares), size=count, p=list(shares.values()))
        jobs += [(name, list(shares)[s], seed, i, side) for i, s in enumerate(styles)]
    return jobs


def _gather(drawn: Iterable[tuple[Pixels, list[int]]], count: int) -> Corpus:
    """Collect what the processes return."""
    pixels, facts = zip(*tqdm(drawn, total=count, unit="img", desc="drawing"), strict=True)
    return Corpus(np.stack(pixels), np.array(facts, dtype=np.int64))


def _draw(job: Job) -> tuple[Pixels, list[int]]:
    """Return one image, reduced the way the product does, and its facts."""
    name, style, seed, index, side = job
    pixels, scene = render_scene(name, style, seed=seed, index=index)
    assert scene is not None, "a texture has no facts"
    small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    facts = [
        OBJECTS.index(name),
        STYLES.index(style),
        palette.NAMES.index(scene.colour_name),
        palette.NAMES.index(scene.background_name),
    ]
    return np.asarray(small), facts
