"""Selection as a person sees it: what it will cost, a progress bar, the table."""

from training.baselines.few_shot import FewShot
from training.progress import bar, say_all
from training.selection.forecast import forecast
from training.selection.judge import CANDIDATES
from training.selection.rounds import by_domain
from training.selection.select import Plan, Selection, plan, select
from training.selection.table import lines
from training.tune import TuneConfig, Tuning


def run_selection(shots: FewShot, base: TuneConfig, *, tuning: Tuning | None = None) -> Selection:
    """Choose settings and score, and say how.

    Args:
        shots: the training images; no other image is looked at.
        base: settings that are not chosen.
        tuning: the only kind to try; None for all that the text side allows.

    Raises:
        ConfigError: the base's objective is not ``croft``.
    """
    todo = plan(shots, base, tuning=tuning)
    if isinstance(todo, Plan):
        say_all([_cost(todo, shots)])
        with bar("selecting", "tuning") as progress:
            selection = select(shots, base, todo, on_tuned=progress)
    else:
        selection = select(shots, base, todo)
    say_all(lines(selection))
    return selection


def _cost(todo: Plan, shots: FewShot) -> str:
    left_out = "a domain" if by_domain(shots) else "a part of each class's images"
    slow = any(config.tuning != "adapter" for config in todo.settings)
    quicker = " (--tuning adapter is the quickest kind)" if slow else ""
    return (
        f"Selection: {len(todo.settings)} settings in {len(todo.rounds)} rounds are "
        f"{todo.tunings} tunings, {len(CANDIDATES)} scores each: about "
        f"{_duration(forecast(todo, shots))} here{quicker}. A round leaves out {left_out} and a "
        "third of the classes. Only training images are looked at."
    )


def _duration(seconds: float) -> str:
    """Write it as a person would say it."""
    if seconds < 90:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
