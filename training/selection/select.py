"""Choose how to tune and what to score by, from the training images alone.

Axes: N images, R rounds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from models.errors import ConfigError
from training.baselines.few_shot import FewShot
from training.selection.choice import Verdict, choose
from training.selection.judge import Judgement, judge
from training.selection.rounds import Round, rounds, why_not
from training.tune import TextSource, TuneConfig, Tuning

_LEVELS: Final = {
    "lambda_1": (0.0, 1.0),
    "lambda_2": (0.0, 1.0),
    "ratio_image": (0.2, 0.5),
    "ratio_mean": (0.0, 0.5),
}
"""Two values of each of four settings. Of their sixteen combinations the eight with an even number
of second values are tried: every pair of values then occurs twice (a half fraction; Box & Hunter,
Technometrics 1961). Among them are the defaults, and cross-entropy alone."""
_PROMPTS: Final = ("prompt", "prompt+adapter")
"""Far slower: tried with both terms of the objective, and with none."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was chosen, and by what."""

    config: TuneConfig
    """How to tune on all training images."""
    score: str
    """What is to decide."""
    verdicts: Sequence[Verdict] = ()
    """Every setting; empty where nothing could be judged."""
    reason: str | None = None
    """Why nothing could be judged; the settings given and energy are kept then."""

    @property
    def chosen(self) -> Verdict:
        """The verdict on the chosen setting, where something was judged."""
        return next(verdict for verdict in self.verdicts if verdict.config == self.config)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a selection will do."""

    settings: Sequence[TuneConfig]
    rounds: Sequence[Round]

    @property
    def tunings(self) -> int:
        """How often the head is tuned."""
        return len(self.settings) * len(self.rounds)


def check_base(base: TuneConfig) -> None:
    """Refuse settings whose place selection has nothing for.

    Raises:
        ConfigError: the objective is not ``croft``.
    """
    if base.objective != "croft":
        raise ConfigError(
            f"Selection tries settings of the objective 'croft', and `objective` is "
            f"{base.objective!r}. Leave one of the two out; --tuning may stay, and limits what is "
            "tried."
        )


def plan(shots: FewShot, base: TuneConfig, *, tuning: Tuning | None = None) -> Plan | str:
    """Return what there is to try, or why nothing can be judged.

    Args:
        shots: the training images; ``select`` is not looked at.
        base: settings that are not chosen; tried as they are, too.
        tuning: the only kind to try; None for all that the text side allows.

    Raises:
        ConfigError: the base's objective is not ``croft``.
    """
    check_base(base)
    names = shots.text.class_names or [f"class {k}" for k in range(len(shots.text.features_KD))]
    reason = why_not(shots.labels_N, names, shots.units_N)
    if reason is not None:
        return reason
    found = rounds(shots)
    if not found:
        return "groups of images run across the classes so that no round is left to judge in"
    tried = dict.fromkeys([base, *_settings(base, shots.text)])
    settings = tuple(config for config in tried if tuning in (None, config.tuning))
    return Plan(settings=settings, rounds=found)


def select(
    shots: FewShot,
    base: TuneConfig,
    chosen_plan: Plan | str,
    *,
    on_tuned: Callable[[int, int], None] | None = None,
) -> Selection:
    """Judge everything of a plan and choose: docs/selection.md.

    Args:
        shots: the training images.
        base: what is kept where nothing can be judged.
        chosen_plan: of `plan`.
        on_tuned: told how many heads are tuned, and of how many.
    """
    if isinstance(chosen_plan, str):
        return Selection(config=base, score="energy", reason=chosen_plan)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if on_tuned is not None:
            on_tuned(done, chosen_plan.tunings)

    judged: list[list[Judgement]] = [
        list(judge(shots, round_, chosen_plan.settings, on_tuned=count))
        for round_ in chosen_plan.rounds
    ]
    verdicts = [
        Verdict(config=config, rounds=of_config)
        for config, of_config in zip(chosen_plan.settings, zip(*judged, strict=True), strict=True)
    ]
    verdict, score = choose(verdicts)
    return Selection(config=verdict.config, score=score, verdicts=verdicts)


def _settings(base: TuneConfig, text: TextSource) -> Iterator[TuneConfig]:
    for levels in product((1, 0), repeat=len(_LEVELS)):
        if sum(levels) % 2 == 0:
            yield _varied(
                base,
                tuning="adapter",
                **{name: _LEVELS[name][i] for name, i in zip(_LEVELS, levels, strict=True)},
            )
    if text.backbone is not None:
        for kind, both in product(_PROMPTS, (1.0, 0.0)):
            yield _varied(base, tuning=kind, lambda_1=both, lambda_2=both, ratio_mean=0.0)


def _varied(base: TuneConfig, **changes: Any) -> TuneConfig:
    gen_steps = max(1, base.gen_steps) if changes["lambda_1"] else 0
    return replace(base, gen_steps=gen_steps, **changes)
