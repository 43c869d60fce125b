"""What is foretold is what it takes, by a clock that only tuning and scoring move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from types import SimpleNamespace
from typing import Any

import pytest

from models.scores import fit_scores
from tests.training.selection.problems import QUICK, shots
from training.baselines.few_shot import accuracy
from training.selection import forecast as module
from training.selection.forecast import forecast
from training.selection.rounds import rounds
from training.selection.run import run_selection
from training.selection.select import Plan, select
from training.tune import Floats, Labels, TuneConfig, Tuned, Tuning, tune

SET_UP, FOLD, ONCE, SCORES, FIRST = 5.0, 2.0, 70.0, 3.0, 1000.0
STEP: dict[Tuning, float] = {"adapter": 0.25, "prompt": 8.0}


class Clock:
    """Time that goes on with work alone."""

    def __init__(self) -> None:
        """Start at 0; the first tuning of all is slow."""
        self.now, self.late = 0.0, FIRST

    def tune(
        self,
        train_NVD: Floats,
        labels_N: Labels,
        *,
        config: TuneConfig,
        on_epoch: Callable[[int, int], None] = lambda *_: None,
        **more: Any,
    ) -> Tuned:
        """Take time for setting up, for each step, and for the end."""
        self.now += SET_UP + self.late
        self.late = 0.0
        for epoch in range(config.epochs):
            self.now += STEP[config.tuning] * ceil(len(labels_N) / config.batch_size)
            on_epoch(epoch + 1, config.epochs)
        self.now += FOLD
        quick = replace(config, tuning="adapter", epochs=1)
        return tune(train_NVD, labels_N, config=quick, **more)

    def after(self, seconds: float, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that takes so long."""

        def timed(*args: Any, **more: Any) -> Any:
            self.now += seconds
            return call(*args, **more)

        return timed


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Fitting scores takes long once a round, judging takes a while for each of the settings."""
    clock, judging = Clock(), "training.selection.judge"
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(module, "tune", clock.tune)
    monkeypatch.setattr(f"{judging}.tune", clock.tune)
    monkeypatch.setattr(f"{judging}.fit_scores", clock.after(ONCE, fit_scores))
    monkeypatch.setattr(f"{judging}.accuracy", clock.after(SCORES, accuracy))
    return clock


@pytest.mark.parametrize("tuning", ["adapter", "prompt"])
def test_what_is_foretold_is_what_it_takes(clock: Clock, tuning: Tuning) -> None:
    """Setting up counts once a tuning, fitting once a round, scoring once each of the settings."""
    given = shots()
    settings = (
        replace(QUICK, epochs=4, batch_size=6, tuning=tuning),
        replace(QUICK, epochs=10, batch_size=100),
        replace(QUICK, epochs=3, batch_size=7),
    )
    plan = Plan(settings=settings, rounds=rounds(given)[:5])

    foretold = forecast(plan, given)

    before = clock.now
    select(given, settings[0], plan)
    assert foretold == pytest.approx(clock.now - before)


def test_foretelling_takes_a_few_steps_of_each_of_the_settings(clock: Clock) -> None:
    """However many epochs and images there are: two epochs of two steps."""
    given = shots(per_class=40)
    plan = Plan(settings=(replace(QUICK, epochs=500, tuning="prompt"),), rounds=rounds(given))
    quick = SET_UP + FOLD + 4 * STEP["adapter"]
    judged = SET_UP + FOLD + SCORES + ceil(120 / QUICK.batch_size) * STEP["adapter"]

    forecast(plan, given)

    probed = SET_UP + FOLD + 4 * STEP["prompt"]
    assert clock.now == pytest.approx(FIRST + 2 * quick + probed + ONCE + 3 * judged)


@pytest.mark.usefixtures("clock")
def test_adapters_are_recommended_where_something_slower_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not where they are all that is tried. The time is one that people would say."""
    given = shots()
    hinted: dict[Tuning, bool] = {"adapter": False, "prompt": True}
    for tuning, hint in hinted.items():
        plan = Plan(settings=(replace(QUICK, tuning=tuning),), rounds=rounds(given)[:2])
        monkeypatch.setattr("training.selection.run.plan", lambda *_, plan=plan, **__: plan)
        run_selection(given, QUICK)
        printed = capsys.readouterr().out
        assert "1 settings in 2 rounds are 2 tunings" in printed
        assert ("(--tuning adapter is the quickest kind)" in printed) == hint
        assert "about 3 minutes here" in printed
