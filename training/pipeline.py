"""Images -> bundle: load, split, embed, tune, calibrate, evaluate, write.

Axes: N images, n calibration images, V views, M negative names, D embedding.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from models.bundle import Bundle, Calibration
from models.embed import ViewPlan, embed_files
from models.encoder import OnnxEncoder
from models.errors import ConfigError, TooFewImages
from models.head import Head
from models.manifest import Name
from models.scores import SCORES, STANDARD, Reference, Score, fit_scores
from training.assemble import Draft, write
from training.baselines.few_shot import FewShot
from training.calibrate import calibrate, expectation, images_needed, rank_of, too_few
from training.data import Dataset, Item, domain_indices, load_dataset, unit_indices
from training.data_report import DataReport
from training.encoders import DualEncoder, EncoderRequest, check_encoder, open_encoder
from training.evaluate import Evaluation, Sets, evaluate
from training.negative_names import read_names, without_classes
from training.progress import bar, say, say_all
from training.recipe import TrainConfig
from training.selection.auto import fit_selected
from training.selection.rounds import why_not
from training.selection.run import run_selection
from training.selection.select import Selection, check_base
from training.selection.surrogates import TextureView
from training.selection.table import summary
from training.split import Splits, split
from training.tune import Tuned, Tuning, tune
from training.unknown import load_sets
from training.views import Views


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRequest:
    """What to train on, with which encoder, and where the bundle goes."""

    data: Path
    """Class folders, domain/class folders, or a manifest."""
    out: Path
    """Bundles are written to ``out/name/version``."""
    name: str
    """Of the bundle."""
    encoder: EncoderRequest
    """The frozen vision-language model."""
    config: TrainConfig
    """How it is done."""
    cache: Path
    """Exported encoders and embeddings, for this run and later ones."""
    classes_file: Path | None = None
    """A ``classes.toml``."""
    unknown: Mapping[str, Path] = field(default_factory=dict)
    """Sets of images of anything else, by name: for the report alone."""
    negatives: Path | None = None
    """Names that are no class, one a line, for the score that compares with them."""
    auto: bool = False
    """Whether settings of tuning and the score are chosen by the training images."""
    only_tuning: Tuning | None = None
    """The only kind of tuning that selection tries; None for all that are possible."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The bundle, and what was measured on the way."""

    path: Path
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class _Data:
    dataset: Dataset
    report: DataReport
    splits: Splits
    unknown: Mapping[str, Sequence[Item]]
    negatives: tuple[str, ...]
    notes: tuple[str, ...]


def train(request: TrainRequest) -> TrainResult:
    """Make a bundle.

    Raises:
        CroftError: whatever makes a bundle impossible or its promise void; nothing is written.
    """
    _check_name(request.name)
    _check_tuning(request)
    _check_selection(request)
    _check_score(request)
    names = () if request.negatives is None else read_names(request.negatives)
    check_encoder(request.encoder)
    data = _read(request, names)
    dual = open_encoder(
        request.encoder, data.dataset.classes, cache=request.cache, negatives=data.negatives
    )
    encoder = OnnxEncoder(dual.exported.path)
    shots = _embed_for_tuning(request, data, dual, encoder)
    request, selection = _select(request, shots)
    tuned = _tune(request, shots)
    head = tuned.head
    scores = _fit_scores(tuned, shots, request.config.score, selection)
    calibration = _calibration(request, data, dual, encoder, head, scores)
    threshold = calibrate(calibration.scores_n, request.config.calibrate)
    say(f"  The threshold is {threshold.value:.4f}: it {expectation(threshold)}.")
    draft = Draft(
        name=request.name,
        config=request.config,
        dual=dual,
        dataset=data.dataset,
        data_report=data.report,
        splits=data.splits,
        tuned=tuned,
        head=head,
        scores=scores,
        calibration=calibration,
        threshold=threshold,
        selection=selection,
        notes=_notes(data, dual, selection),
    )
    say_all(draft.notes)
    return _finish(request, data, draft)


def _read(request: TrainRequest, names: tuple[str, ...]) -> _Data:
    """Load and split everything, and refuse before the long work what cannot succeed."""
    with bar("reading images", "image") as progress:
        dataset, report = load_dataset(
            request.data, classes_file=request.classes_file, on_progress=progress
        )
    say_all(report.lines())
    splits = split(dataset, request.config.split, seed=request.config.seed)
    say_all(splits.lines())
    _check_promise(request.config, splits)
    negatives, notes = without_classes(names, dataset.classes) if names else ((), [])
    unknown, unknown_notes = load_sets(request.unknown, [spec.name for spec in dataset.classes])
    say_all(unknown_notes)
    return _Data(dataset, report, splits, unknown, negatives, tuple(notes))


def _check_name(name: str) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ConfigError(
            f"A bundle cannot be called {name!r}: {error.errors()[0]['msg']}. Give another --name."
        ) from error


def _check_score(request: TrainRequest) -> None:
    score = request.config.score
    if SCORES[score].needs == "negative names" and request.negatives is None:
        raise ConfigError(
            f"`score` is {score!r}, which needs names that are no class. Give them with "
            "--negatives FILE, one a line, or choose another score."
        )


def _check_tuning(request: TrainRequest) -> None:
    tuning, encoder = request.config.tune.tuning, request.encoder.encoder
    if encoder is not None and "prompt" in tuning:
        raise ConfigError(
            f"`tuning` is {tuning!r}, and prompt tuning needs a text encoder, which {encoder.name} "
            'does not have. Use "adapter", which works with any text features.'
        )


def _check_selection(request: TrainRequest) -> None:
    """Refuse what selection would overrule."""
    if not request.auto:
        return
    check_base(request.config.tune)
    if request.config.score != "energy":
        raise ConfigError(
            f"Selection chooses the score, and `score` is {request.config.score!r}. Leave one of "
            "the two out; --tuning may stay, and limits what is tried."
        )


def _check_promise(config: TrainConfig, splits: Splits) -> None:
    n = len(splits.calibrate)
    if rank_of(n, config.calibrate) == 0:
        raise TooFewImages(too_few(n, config.calibrate), needed=images_needed(config.calibrate))


def _embed_for_tuning(
    request: TrainRequest, data: _Data, dual: DualEncoder, encoder: OnnxEncoder
) -> FewShot:
    """Embed what tuning and selection may look at, and nothing else."""
    config, items = request.config, data.splits.train

    def embed(what: str, views: ViewPlan) -> NDArray[np.float32]:
        return _embed(items, request, dual, encoder, what, views)

    train_NVD = embed("embedding views to train on", Views(config=config.views, seed=config.seed))
    labels_N, units_N = data.dataset.labels(items), unit_indices(items)
    names = [spec.name for spec in data.dataset.classes]
    texture_ND = None
    if request.auto and why_not(labels_N, names, units_N) is None:
        texture_ND = embed("embedding without objects", TextureView(seed=config.seed))[:, 0]
    select = data.splits.select
    select_ND = _embed(select, request, dual, encoder, "embedding images to select by")[:, 0]
    return FewShot(
        train_NVD=train_NVD,
        labels_N=labels_N,
        text=dual.text(train_NVD[:, 0], labels_N),
        select=(select_ND, data.dataset.labels(select)) if select else None,
        domains_N=domain_indices(items),
        texture_ND=texture_ND,
        units_N=units_N,
        seed=config.seed,
        epochs=config.tune.epochs,
    )


def _select(request: TrainRequest, shots: FewShot) -> tuple[TrainRequest, Selection | None]:
    """Return the request with what selection chose, if it is to choose."""
    config = request.config
    if not request.auto:
        return request, None
    base = replace(config.tune, seed=config.seed)
    chosen = run_selection(shots, base, tuning=request.only_tuning)
    config = replace(config, tune=replace(chosen.config, seed=config.tune.seed), score=chosen.score)
    return replace(request, config=config), chosen


def _tune(request: TrainRequest, shots: FewShot) -> Tuned:
    config = request.config
    with bar(f"tuning ({config.tune.tuning})", "epoch") as progress:
        return tune(
            shots.train_NVD,
            shots.labels_N,
            text=shots.text,
            select=shots.select,
            config=replace(config.tune, seed=config.seed),
            on_epoch=progress,
        )


def _fit_scores(
    tuned: Tuned, shots: FewShot, score: str, selection: Selection | None
) -> dict[str, Score]:
    """Fit on plain training images; the images to select by tell how scores really spread."""
    head, negatives_MD = tuned.head, tuned.negatives_MD
    reference = Reference(
        head.outputs(shots.train_NVD[:, 0]),
        shots.labels_N,
        negatives_MD=None if negatives_MD is None else negatives_MD.astype(np.float64),
        held_out=None if shots.select is None else head.outputs(shots.select[0]),
    )
    if selection is None:
        return fit_scores(reference, dict.fromkeys([*STANDARD, score]))
    return fit_scores(reference) | {score: fit_selected(selection, reference)}


def _embed(
    items: Sequence[Item],
    request: TrainRequest,
    dual: DualEncoder,
    encoder: OnnxEncoder,
    what: str,
    views: ViewPlan | None = None,
) -> NDArray[np.float32]:
    """Return embeddings (N, V, D)."""
    with bar(what, "image") as progress:
        return embed_files(
            items,
            encoder,
            dual.preprocess,
            cache=request.cache / "embeddings",
            views=views,
            on_progress=progress,
        )


def _calibration(
    request: TrainRequest,
    data: _Data,
    dual: DualEncoder,
    encoder: OnnxEncoder,
    head: Head,
    scores: Mapping[str, Score],
) -> Calibration:
    items = data.splits.calibrate
    embeddings_nD = _embed(items, request, dual, encoder, "embedding images to calibrate on")[:, 0]
    outputs = head.outputs(embeddings_nD)
    values = {name: score(outputs) for name, score in scores.items()}
    kept_nD = embeddings_nD if request.config.keep_embeddings else None
    return Calibration(
        values.pop(request.config.score), data.dataset.labels(items), kept_nD, values
    )


def _notes(data: _Data, dual: DualEncoder, selection: Selection | None) -> tuple[str, ...]:
    """Say what a reader of the report would not expect."""
    untested = (
        "Too few images to keep some for a test: the figures of known images are of those that "
        "chose the epoch, and look a little better than they are."
    )
    chosen = () if selection is None else (summary(selection),)
    return (*data.notes, *dual.notes, *chosen, *(() if data.splits.test else (untested,)))


def _finish(request: TrainRequest, data: _Data, draft: Draft) -> TrainResult:
    """Judge the bundle as it will be served, then write it with its figures."""
    sets = Sets(
        known=data.splits.test or data.splits.select,
        shifted=data.splits.shifted,
        unknown=data.unknown,
    )
    with tempfile.TemporaryDirectory() as scratch:
        judged = Bundle.load(write(Path(scratch) / "draft", draft))
        with bar("evaluating", "image") as progress:
            evaluation = evaluate(
                judged, sets, cache=request.cache / "embeddings", on_progress=progress
            )
    path = write(_next_version(request.out / request.name), draft, evaluation)
    say(f"  Bundle: {path}", f"  Report: {path / 'report' / 'index.html'}")
    return TrainResult(path, evaluation)


def _next_version(directory: Path) -> Path:
    """Return ``directory/1``, or the first number after those that exist."""
    taken = [int(p.name) for p in directory.glob("*") if p.name.isdigit()]
    return directory / str(max(taken, default=0) + 1)
