"""Judge settings and scores by rounds in which known images play the unknown.

Axes: N images, R rounds, B batch, C classes that are kept, F kinds of far image, D embedding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.head import Head
from models.outputs import Outputs, Reference, Score
from models.scores import FUSED, SCORES, fit_scores
from training.baselines.few_shot import FewShot, accuracy
from training.metrics import auroc
from training.selection.rounds import Round
from training.selection.surrogates import FAR, scrambled
from training.tune import Floats, TuneConfig, tune, zero_shot

Values = NDArray[np.float64]

NEAR: Final = "left-out classes"
SCRAMBLED: Final = "scrambled"

_SINGLE: Final = tuple(
    name for name, spec in SCORES.items() if not spec.parts and spec.needs != "negative names"
)
CANDIDATES: Final = (*_SINGLE, *FUSED)
"""The scores that are judged."""

_RAW: Final = tuple(name for name in _SINGLE if SCORES[name].needs == "training images")
"""Those that no tuning moves: computed once a round."""

_MOST: Final = 300
"""Surrogates of a kind that a round looks at, at most."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One setting in one round."""

    accuracy: float
    """Share of held-out images of kept classes that are named rightly."""
    auroc: Mapping[str, Mapping[str, float]]
    """Of each kind of surrogate, by score: against the same held-out images."""
    fresh: Mapping[str, Values]
    """Single scores of the held-out images, which neither head nor score was fitted on: (B,)."""


def judge(
    shots: FewShot,
    round_: Round,
    settings: Sequence[TuneConfig],
    *,
    on_tuned: Callable[[], None] | None = None,
) -> Iterator[Judgement]:
    """Tune with each of the settings on a round's part, and judge all scores.

    Args:
        shots: everything that is known.
        round_: who trains and who plays the unknown.
        settings: what to tune with.
        on_tuned: called after each of the settings.
    """
    part, held_ND = part_of_round(shots, round_), _plain(shots, round_.known)
    held_N = np.searchsorted(round_.kept_C, shots.labels_N[round_.known])
    images = {"known": held_ND, **_surrogates(shots, round_)}
    raw = _values(zero_shot(part.text).head, part, images, _RAW)
    for config in settings:
        head = tune(part.train_NVD, part.labels_N, text=part.text, config=config).head
        logits = _values(head, part, images, [name for name in _SINGLE if name not in _RAW])
        values = {kind: logits[kind] | raw[kind] for kind in images}
        known = values.pop("known")
        yield Judgement(
            accuracy=accuracy(head.logits(held_ND), held_N),
            auroc={kind: _aurocs(known, unknown) for kind, unknown in values.items()},
            fresh=known,
        )
        if on_tuned is not None:
            on_tuned()


def _plain(shots: FewShot, rows_B: NDArray[np.int64]) -> Floats:
    plain_BD: Floats = shots.train_NVD[rows_B, 0]
    return plain_BD


def part_of_round(shots: FewShot, round_: Round) -> FewShot:
    """Return a round's training images, with classes counted anew.

    Where images stand in for text, it is made anew: it would know the held-out ones otherwise.
    """
    text = shots.text
    if text.remake is not None:
        text = text.remake(_plain(shots, round_.train), shots.labels_N[round_.train])
    return replace(
        shots,
        train_NVD=shots.train_NVD[round_.train],
        labels_N=np.searchsorted(round_.kept_C, shots.labels_N[round_.train]),
        text=text.of_classes(round_.kept_C),
        single=None,
        select=None,
        domains_N=None,
        far_NFD=None,
        units_N=None,
    )


def _surrogates(shots: FewShot, round_: Round) -> dict[str, Floats]:
    """Return raw embeddings of each kind that the round has images of, at most `_MOST`."""
    rng = np.random.default_rng(shots.seed)
    kinds = {NEAR: _plain(shots, round_.left_out)}
    if shots.far_NFD is None:
        known_ND, pool_PD = _plain(shots, round_.known), _plain(shots, round_.train)
        kinds[SCRAMBLED] = scrambled(known_ND, pool_PD, rng)
    else:
        far_NFD = shots.far_NFD[round_.known]
        kinds |= {kind: far_NFD[:, view] for view, kind in enumerate(FAR)}
    return {
        kind: rows_ND[rng.permutation(len(rows_ND))[:_MOST]]
        for kind, rows_ND in kinds.items()
        if len(rows_ND)
    }


def _values(
    head: Head, part: FewShot, images: Mapping[str, Floats], names: Sequence[str]
) -> dict[str, dict[str, Values]]:
    """Return each score of each set of images, fitted on the round's training images."""
    plain = head.outputs(part.train_NVD[:, 0])
    scores = fit_scores(Reference(plain, part.labels_N), names)
    return {kind: _of(head.outputs(x_ND), scores) for kind, x_ND in images.items()}


def _of(outputs: Outputs, scores: Mapping[str, Score]) -> dict[str, Values]:
    return {name: score(outputs) for name, score in scores.items()}


def _aurocs(known: Mapping[str, Values], unknown: Mapping[str, Values]) -> dict[str, float]:
    """Return the AUROC of every candidate; those of two parts are standardised by the known."""
    return {
        name: auroc(_fuse(name, known, known), _fuse(name, unknown, known)) for name in CANDIDATES
    }


def _fuse(name: str, values: Mapping[str, Values], by: Mapping[str, Values]) -> Values:
    parts = SCORES[name].parts
    if not parts:
        return values[name]
    standard = [(values[part] - by[part].mean()) / (by[part].std() or 1.0) for part in parts]
    return np.asarray(sum(standard) / len(parts), dtype=np.float64)
