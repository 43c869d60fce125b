"""What is tried, what is looked at, and what is kept where nothing can be judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import ConfigError
from tests.backbones import tiny_backbone
from tests.training.selection.problems import CLASSES, DIM, QUICK, far, shots, text
from training.baselines.few_shot import FewShot
from training.selection.rounds import rounds
from training.selection.select import Plan, Selection, plan, select
from training.tune import TextSource, TuneConfig, Tuned, Tuning, official_defaults, tune

CROSS_ENTROPY = replace(QUICK, lambda_1=0.0, lambda_2=0.0, gen_steps=0)


def _plan(given: FewShot, base: TuneConfig = QUICK, *, tuning: Tuning | None = None) -> Plan:
    """Return what there is to try."""
    found = plan(given, base, tuning=tuning)
    assert isinstance(found, Plan)
    return found


def _small(given: FewShot, *settings: TuneConfig) -> Selection:
    """Choose from a few settings, in one round of each style."""
    few = Plan(settings=settings or (QUICK, CROSS_ENTROPY), rounds=rounds(given)[::3])
    return select(given, QUICK, few)


def _figures(selection: Selection) -> list[object]:
    """Return everything that was found out, to compare."""
    judged = [judgement for verdict in selection.verdicts for judgement in verdict.rounds]
    return [
        (selection.config, selection.score, selection.reason),
        [verdict.config for verdict in selection.verdicts],
        [(judgement.accuracy, judgement.auroc) for judgement in judged],
        [{name: values.tolist() for name, values in j.fresh.items()} for j in judged],
    ]


def _few_classes() -> FewShot:
    three = shots()
    kept_N = three.labels_N < 3
    assert three.domains_N is not None
    return replace(
        three,
        train_NVD=three.train_NVD[kept_N],
        labels_N=three.labels_N[kept_N],
        domains_N=three.domains_N[kept_N],
        text=three.text.of_classes(np.arange(3)),
    )


def _with_backbone(folder: Path) -> FewShot:
    """Return random embeddings of four classes behind a tiny text encoder."""
    names = ["cup", "tree", "boat", "key"]
    source = TextSource.of(
        tiny_backbone(folder), names=names, prompts=[[f"a photo of a {name}."] for name in names]
    )
    labels_N = np.arange(8) % 4
    noise_NVD = np.random.default_rng(0).standard_normal((8, 1, source.features_KD.shape[1]))
    train_NVD = (source.features_KD[labels_N][:, None] + 0.1 * noise_NVD).astype(np.float32)
    return FewShot(train_NVD=train_NVD, labels_N=labels_N, text=source)


def test_every_pair_of_values_is_tried_equally_often() -> None:
    """Of four settings of two values; without shifted features there is no generator."""
    settings = _plan(shots()).settings
    varied = ("lambda_1", "lambda_2", "ratio_image", "ratio_mean")
    for one, other in combinations(varied, 2):
        pairs = Counter((getattr(s, one), getattr(s, other)) for s in settings)
        assert len(pairs) == 4
        assert set(pairs.values()) == {2}
    assert {(s.lambda_1, s.gen_steps) for s in settings} == {(1.0, 1), (0.0, 0)}
    assert {s.tuning for s in settings} == {"adapter"}
    alone = replace(QUICK, lambda_1=0.0, lambda_2=0.0, gen_steps=0)
    assert {QUICK, alone} < set(settings)


def test_what_is_given_is_tried_first_and_the_rest_kept() -> None:
    """Of equals the first is chosen: the settings that were given."""
    base = replace(QUICK, lambda_1=3.0, ratio_image=0.3, decay=0.5, seed=9, batch_size=7)
    settings = _plan(shots(), base).settings
    assert settings[0] == base
    assert len(settings) == 9
    assert {(s.epochs, s.decay, s.seed, s.batch_size) for s in settings} == {(1, 0.5, 9, 7)}
    assert _plan(shots(), QUICK).settings[0] == QUICK
    assert len(set(_plan(shots()).settings)) == len(_plan(shots()).settings) == 8


def test_a_generator_is_there_where_shifted_features_are() -> None:
    """Also if the settings that were given have none; more steps than one are kept."""
    for given, expected in ((0, 1), (1, 1), (4, 4)):
        settings = _plan(shots(), replace(CROSS_ENTROPY, gen_steps=given)).settings[1:]
        assert {s.gen_steps for s in settings if s.lambda_1} == {expected}


def test_prompts_are_tried_with_a_text_encoder_only(tmp_path: Path) -> None:
    """With fewer objectives: they take far longer."""
    settings = _plan(_with_backbone(tmp_path)).settings
    assert [(s.tuning, s.lambda_1, s.lambda_2) for s in settings[8:]] == [
        (tuning, weight, weight) for tuning in ("prompt", "prompt+adapter") for weight in (1.0, 0.0)
    ]
    assert all(s.tuning == "adapter" for s in settings[:8])
    assert all(s.tuning == "adapter" for s in _plan(shots()).settings)


@pytest.mark.parametrize(("tuning", "count"), [("adapter", 8), ("prompt", 2)])
def test_one_kind_alone_can_be_asked_for(tmp_path: Path, tuning: Tuning, count: int) -> None:
    """That of the settings that are given."""
    base = replace(QUICK, tuning=tuning)
    found = _plan(_with_backbone(tmp_path), base, tuning=tuning)
    assert [s.tuning for s in found.settings] == [tuning] * count


@pytest.mark.parametrize("tuning", ["prompt", "prompt+adapter"])
def test_prompts_are_judged_on_a_part_of_the_classes(
    tmp_path: Path, tuning: Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context is learned in front of the names that stay."""
    given, seen = _with_backbone(tmp_path), []

    def watched(*args: Any, text: TextSource, **more: Any) -> Tuned:
        seen.append(text.class_names)
        return tune(*args, text=text, **more)

    monkeypatch.setattr("training.selection.judge.tune", watched)
    config, found = replace(QUICK, tuning=tuning), rounds(given)[:3]
    select(given, config, Plan(settings=(config,), rounds=found))
    names = given.text.class_names
    assert seen == [tuple(names[k] for k in round_.kept_C) for round_ in found]
    assert len(set(seen)) == 3


def test_the_authors_objective_is_refused() -> None:
    """Its lambdas mean something else."""
    with pytest.raises(ConfigError, match="objective 'croft', and `objective` is 'official'"):
        plan(shots(), official_defaults())


def test_with_few_classes_what_was_given_and_energy_are_kept() -> None:
    """And the reason is said."""
    base = replace(QUICK, lambda_1=3.0)
    reason = plan(_few_classes(), base)
    assert isinstance(reason, str)
    found = select(_few_classes(), base, reason)
    assert (found.config, found.score, found.verdicts) == (base, "energy", ())
    assert found.reason == reason
    assert "there are 3 classes" in reason


def test_groups_that_leave_no_round_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few classes are."""
    monkeypatch.setattr("training.selection.select.rounds", lambda _: [])
    reason = plan(shots(), QUICK)
    assert isinstance(reason, str)
    assert "groups of images run across the classes" in reason


def test_images_to_select_by_are_not_looked_at() -> None:
    """Calibration images are no part of what is given; these are, and change nothing."""
    plain = shots()
    rng = np.random.default_rng(0)
    changed = [
        replace(plain, select=(rng.standard_normal((n, DIM)).astype(np.float32), labels_N))
        for n, labels_N in ((6, np.arange(CLASSES)), (4, np.zeros(4, np.int64)))
    ]
    expected = _figures(_small(plain))
    for given in changed:
        assert _plan(given).settings == _plan(plain).settings
        assert _figures(_small(given)) == expected


def test_the_same_images_give_the_same_selection() -> None:
    """To the last bit, and another seed's differs."""
    given = shots()
    given = replace(given, texture_ND=far(given))
    found = [_figures(_small(given)) for _ in range(2)]
    assert found[0] == found[1]
    assert _figures(_small(replace(given, seed=1))) != found[0]


def test_every_tuning_is_told() -> None:
    """From one to as many as the plan says."""
    given = shots()
    few = Plan(settings=(QUICK, CROSS_ENTROPY), rounds=rounds(given)[:3])
    told: list[tuple[int, int]] = []
    found = select(given, QUICK, few, on_tuned=lambda *counts: told.append(counts))
    assert few.tunings == 6
    assert told == [(done, 6) for done in range(1, 7)]
    assert [verdict.config for verdict in found.verdicts] == [QUICK, CROSS_ENTROPY]
    assert all(len(verdict.rounds) == 3 for verdict in found.verdicts)
    assert _plan(given).tunings == 8 * 12


def test_a_setting_that_learns_is_chosen() -> None:
    """Whichever comes first: the text is off, and one step too small to matter corrects nothing."""
    given = shots(text=text(error=1.4))
    learns = replace(QUICK, epochs=8, learning_rate=0.02)
    idle = replace(learns, learning_rate=1e-9)
    for settings in ((learns, idle), (idle, learns)):
        assert _small(given, *settings).config == learns
