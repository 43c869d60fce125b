"""How unusual an image looks: every score by its name, behind one interface.

Axes: B batch, K classes, C classes seen in training, D embedding, N training images, S components,
n held-out images.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from models.feature_scores import (
    Fused,
    fit_fused,
    fit_knn,
    fit_mahalanobis,
    fit_neglabel,
    fit_relative_mahalanobis,
    restore_knn,
    restore_mahalanobis,
    restore_neglabel,
    restore_relative_mahalanobis,
)
from models.logit_scores import (
    energy,
    energy_change,
    entropy,
    gen,
    logsumexp,
    max_logit,
    mcm,
    msp,
    softmax,
)
from models.outputs import Floats, Outputs, Reference, Score, Tensors, each_row

__all__ = [
    "FUSED",
    "RAW",
    "SCORES",
    "STANDARD",
    "Floats",
    "LogitScore",
    "Outputs",
    "Reference",
    "Score",
    "ScoreSpec",
    "Tensors",
    "check_score",
    "energy",
    "energy_change",
    "entropy",
    "fit_fused",
    "fit_score",
    "fit_scores",
    "gen",
    "logsumexp",
    "max_logit",
    "mcm",
    "msp",
    "restore_score",
    "softmax",
]

Needs = Literal["nothing", "training images", "negative names"]


@dataclass(frozen=True, slots=True)
class LogitScore:
    """A score that needs nothing but an image's own logits."""

    of_one: Callable[[Outputs], Floats]

    def __call__(self, outputs: Outputs) -> Floats:
        """Return the score of each row, computed alone: shape (B,)."""
        return each_row(outputs, lambda one: self.of_one(one)[0])

    def tensors(self) -> Tensors:
        """Return nothing: there is nothing to store."""
        return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSpec:
    """A score that can be chosen by name."""

    formula: str
    """In one line, higher = more unusual."""
    source: str
    """Who proposed it."""
    fit: Callable[[Reference], Score]
    """Fit it on training images."""
    restore: Callable[[Tensors], Score]
    """Make it from the tensors that it returned."""
    needs: Needs = "nothing"
    """What it is fitted on, beside the classes."""
    stores: Mapping[str, str] = field(default_factory=dict)
    """Its tensors: dtype and axes, as in ``float32 ND``; a letter is one length, D the bundle's.
    None for a function of the logits."""
    parts: tuple[str, ...] = ()
    """Names of the scores that it fuses, if it does."""


def _of_logits(function: Callable[[Outputs], Floats], formula: str, source: str) -> ScoreSpec:
    score = LogitScore(function)
    return ScoreSpec(formula=formula, source=source, fit=lambda _: score, restore=lambda _: score)


_GAUSSIANS: Final = {"whitening": "float32 DD", "means": "float32 CD"}

SCORES: Final[dict[str, ScoreSpec]] = {
    "energy": _of_logits(
        lambda o: energy(o.logits_BK), "-logsumexp(logits)", "Liu et al., NeurIPS 2020"
    ),
    "msp": _of_logits(
        lambda o: msp(o.logits_BK), "1 - max softmax(logits)", "Hendrycks & Gimpel, ICLR 2017"
    ),
    "max_logit": _of_logits(
        lambda o: max_logit(o.logits_BK), "-max(logits)", "Hendrycks et al., ICML 2022"
    ),
    "mcm": _of_logits(
        lambda o: mcm(o.logits_BK, logit_scale=o.logit_scale),
        "1 - max softmax(cosines)",
        "Ming et al., NeurIPS 2022",
    ),
    "entropy": _of_logits(
        lambda o: entropy(o.logits_BK), "-sum p log p, p = softmax(logits)", "Shannon, 1948"
    ),
    "gen": _of_logits(
        lambda o: gen(o.logits_BK),
        "sum of (p (1 - p))^0.1 over the 100 largest p",
        "Liu et al., CVPR 2023",
    ),
    "energy_change": _of_logits(
        lambda o: energy_change(o.logits_BK),
        "logsumexp(logits, the 2 largest set to 0) - logsumexp(logits)",
        "after Zhu et al., NeurIPS 2025",
    ),
    "knn": ScoreSpec(
        formula="distance of unit embeddings to the k-th nearest training image, k = 1",
        source="Sun et al., ICML 2022",
        fit=fit_knn,
        restore=restore_knn,
        needs="training images",
        stores={"bank": "float32 ND", "k": "int64"},
    ),
    "mahalanobis": ScoreSpec(
        formula="min_c (x - mean_c) P (x - mean_c) / D, P the shared precision",
        source="Lee et al., NeurIPS 2018",
        fit=fit_mahalanobis,
        restore=restore_mahalanobis,
        needs="training images",
        stores=_GAUSSIANS,
    ),
    "relative_mahalanobis": ScoreSpec(
        formula="mahalanobis - (x - mean) P_all (x - mean) / D",
        source="Ren et al., 2021",
        fit=fit_relative_mahalanobis,
        restore=restore_relative_mahalanobis,
        needs="training images",
        stores=_GAUSSIANS | {"global_whitening": "float32 DD", "global_mean": "float32 D"},
    ),
    "neglabel": ScoreSpec(
        formula="logsumexp(scale * cosines to negative names) - logsumexp(logits)",
        source="Jiang et al., ICLR 2024",
        fit=fit_neglabel,
        restore=restore_neglabel,
        needs="negative names",
        stores={"negatives": "float32 MD"},
    ),
}
"""The scores that a bundle can name, in the order in which they are listed."""


def _fused(*parts: str) -> ScoreSpec:
    """Fuse how well a class fits with how near the training images are."""

    def fit(reference: Reference) -> Score:
        if reference.held_out is None and "knn" in parts:
            raise ConfigError(
                f"`{'+'.join(parts)}` needs known images beside those that it is fitted on: each "
                "of these is its own nearest neighbour. Keep some to select by, or choose "
                "another score."
            )
        held_out = reference.outputs if reference.held_out is None else reference.held_out
        components = {name: fit_score(name, reference) for name in parts}
        return fit_fused(components, {name: s(held_out) for name, s in components.items()})

    def restore(tensors: Tensors) -> Score:
        components = {name: SCORES[name].restore(part_of(tensors, name)) for name in parts}
        return Fused(components, tensors["mu"], tensors["sigma"])

    stores = {
        f"{name}.{tensor}": layout
        for name in parts
        for tensor, layout in SCORES[name].stores.items()
    }
    return ScoreSpec(
        formula="mean of (s - mu_s) / sigma_s over both",
        source="Croft",
        fit=fit,
        restore=restore,
        needs="training images",
        stores={"mu": "float64 S", "sigma": "float64 S"} | stores,
        parts=parts,
    )


RAW: Final = tuple(
    name for name, spec in SCORES.items() if spec.needs == "training images" and not spec.parts
)
"""Scores of the raw embedding, which no tuning moves."""

FUSED: Final = tuple(
    f"{logits}+{fitted}"
    for logits, fitted in product(
        [name for name, spec in SCORES.items() if spec.needs == "nothing"],
        RAW,
    )
)
"""Scores of two parts, which err on different images: one of logits and one of embeddings."""

SCORES.update({name: _fused(*name.split("+")) for name in FUSED})

STANDARD: Final = (*(name for name in SCORES if name not in FUSED), "energy+mahalanobis")
"""What every bundle is calibrated for, beside the score that decides."""


def fit_score(name: str, reference: Reference) -> Score:
    """Fit a score on known training images.

    Raises:
        ConfigError: no such score, or the reference lacks what it needs.
    """
    return _spec(name).fit(reference)


def fit_scores(reference: Reference, names: Iterable[str] = STANDARD) -> dict[str, Score]:
    """Fit those scores of a list that the reference suffices for, by name."""
    has_names = reference.negatives_MD is not None
    return {
        name: fit_score(name, reference)
        for name in names
        if has_names or _spec(name).needs != "negative names"
    }


def restore_score(
    name: str, tensors: Mapping[str, NDArray[Any]], *, dim: int | None = None
) -> Score:
    """Make a score from what its ``tensors()`` returned.

    Args:
        name: a key of ``SCORES``.
        tensors: its tensors.
        dim: D of the bundle; None takes the tensors' own.

    Raises:
        ConfigError: no such score, or a tensor that is missing, unknown, of another dtype or
            shape, or not finite.
    """
    spec = _spec(name)
    lengths = {"S": len(spec.parts)} | ({} if dim is None else {"D": dim})
    for unknown in tensors.keys() - spec.stores.keys():
        raise ConfigError(f"tensor `score.{name}.{unknown}` is not one that this score stores.")
    for tensor, layout in spec.stores.items():
        if tensor not in tensors:
            raise ConfigError(f"tensor `score.{name}.{tensor}` is missing.")
        _check_layout(f"score.{name}.{tensor}", tensors[tensor], layout, lengths)
    if np.any(tensors.get("sigma", np.ones(1)) <= 0):
        raise ConfigError(f"tensor `score.{name}.sigma` must be larger than 0.")
    try:
        return spec.restore(dict(tensors))
    except ConfigError as error:
        raise ConfigError(f"tensors `score.{name}.*`: {error}") from error


def part_of(tensors: Mapping[str, NDArray[Any]], prefix: str) -> Tensors:
    """Return the tensors whose name begins with ``prefix.``, without it."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def check_score(name: str) -> None:
    """Refuse a name that is no score.

    Raises:
        ConfigError: it is none; the message has those that exist.
    """
    if name not in SCORES:
        single = [known for known in SCORES if known not in FUSED]
        raise ConfigError(
            f"`score` must be one of {', '.join(single)}, or two joined by a plus as in "
            f"`energy+mahalanobis`: one of logits and one of embeddings; got {name!r}."
        )


def _spec(name: str) -> ScoreSpec:
    check_score(name)
    return SCORES[name]


def _check_layout(name: str, tensor: NDArray[Any], layout: str, lengths: dict[str, int]) -> None:
    """Compare with the layout; an axis that was not met before sets its letter's length."""
    dtype, _, axes = layout.partition(" ")
    if tensor.dtype == np.dtype(dtype) and tensor.ndim == len(axes):
        for axis, length in zip(axes, tensor.shape, strict=True):
            lengths.setdefault(axis, length)
    wanted = tuple(lengths.get(axis, axis) for axis in axes)
    if tensor.dtype != np.dtype(dtype) or tensor.shape != wanted or tensor.size == 0:
        shape = f"({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''})"
        raise ConfigError(
            f"tensor `{name}` must be {dtype} {shape}, not empty, is {tensor.dtype} {tensor.shape}."
        )
    if not np.all(np.isfinite(tensor)):
        raise ConfigError(f"tensor `{name}` has NaN or infinity.")
