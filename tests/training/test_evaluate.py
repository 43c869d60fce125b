"""training.evaluate: real images, a real encoder, the service's decisions."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.decision import Decision, decide
from models.encoder import OnnxEncoder
from models.errors import ConfigError, DataError
from models.scores import STANDARD
from tests.bundles import load_tiny
from tests.training.evaluations import colour_evaluation, colour_sets
from training.calibrate import CalibrateConfig
from training.evaluate import KNOWN, SHIFTED, Evaluation, Sets, as_dict, evaluate, write_rows
from training.recalibrate import recalibrate


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Evaluation]:
    """Return a bundle and how it judges colours."""
    return colour_evaluation(tmp_path_factory.mktemp("colours"))


def answer(bundle: Bundle, path: Path) -> Decision:
    """Classify one file as the service does: its bytes, alone."""
    pixels_HWC = bundle.manifest.preprocess.build().pixels(path.read_bytes())
    return decide(bundle, OnnxEncoder(bundle.encoder_path).embed(pixels_HWC[None])[0])


def test_every_answer_is_the_one_that_the_file_gets_alone(
    judged: tuple[Bundle, Evaluation],
) -> None:
    """Bit for bit, whatever else was evaluated with it."""
    bundle, evaluation = judged

    for row in evaluation.rows[::7]:
        assert row.decision == answer(bundle, row.path)


def test_every_calibrated_score_is_there_as_if_it_decided(
    judged: tuple[Bundle, Evaluation], tmp_path: Path
) -> None:
    """Value and threshold are those of a bundle in which it does; the one that decides is one."""
    bundle, evaluation = judged
    path = recalibrate(bundle, CalibrateConfig(), score="neglabel", out=tmp_path / "neglabel")
    other = Bundle.load(path)

    assert list(evaluation.thresholds) == list(STANDARD)
    assert evaluation.thresholds["energy"] == bundle.threshold.value
    assert evaluation.thresholds["neglabel"] == other.threshold.value
    for row in evaluation.rows[::15]:
        assert set(row.scores) == set(STANDARD)
        assert row.scores["energy"] == row.decision.score
        assert row.scores["neglabel"] == answer(other, row.path).score


def test_scores_that_were_not_calibrated_are_left_out(tmp_path: Path) -> None:
    """As in a bundle from before there were others."""
    bundle = load_tiny(tmp_path / "bundle")
    old = replace(bundle, calibration=replace(bundle.calibration, other_scores={}))

    evaluation = evaluate(old, colour_sets(tmp_path))

    assert evaluation.thresholds == {"energy": bundle.threshold.value}
    assert all(set(row.scores) == {"energy"} for row in evaluation.rows)


def test_rows_keep_the_order_of_the_sets_and_say_where_they_are_from(
    judged: tuple[Bundle, Evaluation],
) -> None:
    """Known, shifted, then the unknown sets; each with path, label and domain."""
    _, evaluation = judged

    assert list(dict.fromkeys(row.set for row in evaluation.rows)) == [
        KNOWN,
        SHIFTED,
        "greys & co <b>",
    ]
    assert evaluation.unknown_sets == ("greys & co <b>",)
    assert [len(evaluation.of(name)) for name in (KNOWN, SHIFTED, "greys & co <b>")] == [61, 60, 25]
    assert all(row.path.parts[-2] == row.label for row in evaluation.rows)
    assert {row.domain for row in evaluation.of(SHIFTED)} == {"faded"}


def test_correct_looks_at_the_best_class_even_when_refused(
    judged: tuple[Bundle, Evaluation],
) -> None:
    """The blue picture in the red folder is wrong; faded colours are right though refused."""
    _, evaluation = judged

    assert [row.path.name for row in evaluation.of(KNOWN) if not row.correct] == ["blue.jpg"]
    assert any(row.correct and row.decision.rejected for row in evaluation.of(SHIFTED))


def test_a_cache_changes_nothing(tmp_path: Path) -> None:
    """The second run embeds no image again and gives the same rows."""
    bundle, sets = load_tiny(tmp_path / "bundle"), colour_sets(tmp_path)
    first = evaluate(bundle, sets, cache=tmp_path / "cache")
    seen: list[tuple[int, int]] = []

    second = evaluate(
        bundle, sets, cache=tmp_path / "cache", on_progress=lambda *report: seen.append(report)
    )

    assert first == second
    assert seen == [(146, 146)]


def test_a_class_that_the_bundle_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    """It would count as wrong for ever; as an unknown set it is welcome."""
    bundle, sets = load_tiny(tmp_path / "bundle"), colour_sets(tmp_path)
    wrong = Sets(known=[*sets.known, *sets.unknown["greys & co <b>"]])

    with pytest.raises(
        DataError, match=r"does not know the class `black` \(3 such\); it knows red"
    ):
        evaluate(bundle, wrong)


@pytest.mark.parametrize("name", ["known", "shifted", ""])
def test_an_unknown_set_cannot_take_the_name_of_a_known_one(tmp_path: Path, name: str) -> None:
    """Their rows could not be told apart."""
    known = colour_sets(tmp_path).known

    with pytest.raises(ConfigError, match="A set of unknown images cannot be called"):
        Sets(known=known, unknown={name: known})


def test_empty_sets_are_refused(tmp_path: Path) -> None:
    """There is no figure about nothing."""
    known = colour_sets(tmp_path).known

    with pytest.raises(DataError, match="no image of a known class"):
        Sets(unknown={"greys": known})
    with pytest.raises(DataError, match="set of unknown images `greys` has no image"):
        Sets(known=known, unknown={"greys": ()})


def test_rows_written_as_jsonl_are_read_back_to_the_bit(
    judged: tuple[Bundle, Evaluation], tmp_path: Path
) -> None:
    """One JSON object a line, with every field of the decision; `answer` is the label given."""
    _, evaluation = judged

    path = write_rows(tmp_path / "new" / "answers.jsonl", evaluation.rows)

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines == json.loads(json.dumps([as_dict(row) for row in evaluation.rows]))
    for line, row in zip(lines, evaluation.rows, strict=True):
        decision = row.decision
        assert (line["answer"], line["label"]) == (decision.label, row.label)
        assert (line["energy"], line["p_value"]) == (decision.energy, decision.p_value)
        assert line["candidates"][0]["label"] == decision.candidates[0].label


def test_rows_written_as_csv_have_one_line_an_image(
    judged: tuple[Bundle, Evaluation], tmp_path: Path
) -> None:
    """With a header, full precision, and the best class beside the answer."""
    _, evaluation = judged

    path = write_rows(tmp_path / "answers.csv", evaluation.rows)

    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    np.testing.assert_array_equal(
        [float(line["score"]) for line in lines], [row.decision.score for row in evaluation.rows]
    )
    assert [line["best"] for line in lines] == [
        row.decision.candidates[0].label for row in evaluation.rows
    ]
    assert {line["answer"] for line in lines if line["rejected"] == "True"} == {""}


def test_rows_in_another_format_are_refused(tmp_path: Path) -> None:
    """The message says which there are."""
    with pytest.raises(ConfigError, match=r"written as \.jsonl or \.csv, got `\.xlsx`"):
        write_rows(tmp_path / "answers.xlsx", [])
