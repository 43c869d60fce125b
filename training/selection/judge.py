"""Judge settings and scores by rounds in which known images play the unknown.

Axes: N images, R rounds, B batch, C classes that are kept, D embedding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.feature_scores import fuse, spread
from models.outputs import Outputs, Reference, Score
from models.scores import FUSED, RAW, SCORES, fit_scores
from training.baselines.few_shot import FewShot, accuracy
from training.metrics import auroc
from training.selection.rounds import Round
from training.selection.surrogates import scrambled
from training.tune import Floats, TuneConfig, tune, zero_shot

Values = NDArray[np.float64]

NEAR: Final = "left-out classes"
TEXTURE: Final = "texture"
SCRAMBLED: Final = "scrambled"

_OF_LOGITS: Final = tuple(name for name, spec in SCORES.items() if spec.needs == "nothing")
_SINGLE: Final = (*_OF_LOGITS, *RAW)
CANDIDATES: Final = (*_SINGLE, *FUSED)
"""The scores that are judged."""

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
    part = part_of_round(shots, round_)
    held_N = np.searchsorted(round_.kept_C, shots.labels_N[round_.known])
    images = {"known": _plain(shots, round_.known), **_surrogates(shots, round_)}
    untuned = zero_shot(part.text).head
    # Scores of the logits are fitted on nothing, all others on what no tuning moves.
    plain = untuned.outputs(part.train_NVD[:, 0])
    scores = fit_scores(Reference(plain, part.labels_N), _SINGLE)
    raw = {kind: _values(untuned.outputs(x_ND), scores, RAW) for kind, x_ND in images.items()}
    for config in settings:
        head = tune(part.train_NVD, part.labels_N, text=part.text, config=config).head
        outputs = {kind: head.outputs(x_ND) for kind, x_ND in images.items()}
        values = {kind: raw[kind] | _values(outputs[kind], scores, _OF_LOGITS) for kind in images}
        known = values.pop("known")
        yield Judgement(
            accuracy=accuracy(outputs["known"].logits_BK, held_N),
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
        texture_ND=None,
        units_N=None,
    )


def _surrogates(shots: FewShot, round_: Round) -> dict[str, Floats]:
    """Return raw embeddings of each kind that the round has images of, at most `_MOST`."""
    rng = np.random.default_rng(shots.seed)
    kinds = {NEAR: _plain(shots, round_.left_out)}
    if shots.texture_ND is None:
        known_ND, pool_PD = _plain(shots, round_.known), _plain(shots, round_.train)
        kinds[SCRAMBLED] = scrambled(known_ND, pool_PD, rng)
    else:
        kinds[TEXTURE] = shots.texture_ND[round_.known]
    return {
        kind: rows_ND[rng.permutation(len(rows_ND))[:_MOST]]
        for kind, rows_ND in kinds.items()
        if len(rows_ND)
    }


def _values(
    outputs: Outputs, scores: Mapping[str, Score], names: Sequence[str]
) -> dict[str, Values]:
    return {name: scores[name](outputs) for name in names}


def _aurocs(known: Mapping[str, Values], unknown: Mapping[str, Values]) -> dict[str, float]:
    """Return the AUROC of every candidate; those of two parts are standardised by the known."""
    return {
        name: auroc(_fuse(name, known, known), _fuse(name, unknown, known)) for name in CANDIDATES
    }


def _fuse(name: str, values: Mapping[str, Values], by: Mapping[str, Values]) -> Values:
    parts = SCORES[name].parts
    if not parts:
        return values[name]
    return fuse([values[part] for part in parts], *spread([by[part] for part in parts]))
