"""Trials -> rows: what will be done is said, images are embedded, and every method is judged."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from models.encoder import OnnxEncoder
from models.errors import ConfigError
from training.baselines.methods import AUTO, METHODS
from training.comparison.embedder import Embedder, judged_items, trained_items
from training.comparison.judge import Row, judge
from training.comparison.methods import left_out
from training.comparison.selecting import selecting_lines, selects
from training.encoders import EncoderRequest, open_encoder
from training.progress import bar, say_all
from training.trial import Trial
from training.views import ViewConfig


def compare(
    trials: Sequence[Trial],
    request: EncoderRequest,
    *,
    methods: Sequence[str],
    scores: Sequence[str],
    cache: Path,
) -> list[Row]:
    """Judge every method under every score on every trial.

    Args:
        trials: one or more.
        request: the encoder.
        methods: of `METHODS`; those that the encoder is not enough for are left out, with a word.
        scores: those that need no negative names.
        cache: exported encoders and embeddings, for this comparison and later ones.

    Raises:
        ConfigError: no method is left, or the files of the encoder do not fit together.
        CroftError: an image cannot be embedded, or a method cannot be trained.
    """
    why = left_out(methods, trials=trials, text_encoder=request.encoder is None)
    say_all(f"{name} is left out: {reason}." for name, reason in why.items())
    methods = [name for name in methods if name not in why]
    if not methods:
        raise ConfigError("No method is left to compare.")
    with_textures = AUTO in methods and any(map(selects, trials))
    say_all(_plan(trials, methods, scores, with_textures=with_textures))
    # Trials may differ in their classes; the encoder of images is the same for all.
    duals = {c: open_encoder(request, c, cache=cache) for c in {t.classes for t in trials}}
    dual = duals[trials[0].classes]
    embedder = Embedder(
        encoder=OnnxEncoder(dual.exported.path),
        preprocess=dual.preprocess,
        text=lambda classes: duals[classes].text,
        cache=cache / "embeddings",
        with_textures=with_textures,
    )
    rows = _judge_all(trials, embedder, methods, scores)
    say_all(dict.fromkeys(note for dual in duals.values() for note in dual.notes))
    return rows


def _plan(
    trials: Sequence[Trial], methods: Sequence[str], scores: Sequence[str], *, with_textures: bool
) -> list[str]:
    names = sorted({trial.name for trial in trials})
    seeds = len({trial.seed for trial in trials})
    views = sum(len(items) for items in trained_items(trials).values())
    unknown = any(trial.unknown for trial in trials)
    judged = f", each judged under {len(scores)} scores" if unknown else ""
    selecting = selecting_lines(trials) if AUTO in methods else []
    without_objects = " and, for auto, once without objects" if with_textures else ""
    return [
        f"To train: {len(methods)} methods ({', '.join(methods)}) on {len(trials)} trials "
        f"({', '.join(names)}; seeds: {seeds}): {len(methods) * len(trials)} times{judged}.",
        *selecting,
        f"To embed, where not in the cache: {len(judged_items(trials)):,} images once; "
        f"{views:,} training images of all seeds in {ViewConfig().count} views{without_objects}.",
    ]


def _judge_all(
    trials: Sequence[Trial], embedder: Embedder, methods: Sequence[str], scores: Sequence[str]
) -> list[Row]:
    with bar("embedding images", "image") as progress:
        plain = embedder.plain(judged_items(trials), progress)
    for seed, items in trained_items(trials).items():
        with bar(f"embedding views, seed {seed}", "image") as progress:
            embedder.train(items, seed=seed, on_progress=progress)
        if embedder.with_textures:
            with bar(f"embedding without objects, seed {seed}", "image") as progress:
                embedder.textures(items, seed=seed, on_progress=progress)
    chosen = {name: METHODS[name] for name in methods}
    rows: list[Row] = []
    total, done = len(trials) * len(methods), count(1)
    with bar("training and judging", "method") as progress:
        for task in embedder.tasks(trials, plain):
            rows += judge(
                task, chosen, scores=scores, on_method=lambda: progress(next(done), total)
            )
    return rows
