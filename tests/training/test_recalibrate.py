"""training.recalibrate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundle import Bundle, write_bundle
from models.decision import decide
from models.errors import ConfigError, TooFewImages
from tests.bundles import load_tiny, tiny_bundle
from training.calibrate import CalibrateConfig
from training.recalibrate import NOTICES, recalibrate

STRICT = CalibrateConfig(alpha=0.02)


def test_a_new_alpha_makes_a_new_version_of_the_same_model(tmp_path: Path) -> None:
    """Another threshold from the stored scores; encoder, head and golden images are untouched."""
    old = load_tiny(tmp_path / "colours" / "1")

    new = Bundle.load(recalibrate(old, STRICT))

    assert new.path == tmp_path / "colours" / "2"
    assert (new.manifest.name, new.manifest.version) == ("colours", "2")
    assert (new.threshold.alpha, new.threshold.rank, new.threshold.n) == (0.02, 2, 300)
    assert new.threshold.value == old.calibration_scores_n[1] > old.threshold.value
    assert new.manifest.self_test == old.manifest.self_test
    np.testing.assert_array_equal(new.head.prototypes_KD, old.head.prototypes_KD)
    np.testing.assert_array_equal(new.calibration.labels_n, old.calibration.labels_n)
    unchanged = set(old.manifest.files) - {"README.md"}
    assert {n: new.manifest.files[n] for n in unchanged} == {
        n: old.manifest.files[n] for n in unchanged
    }


def test_another_score_decides_in_the_new_version(tmp_path: Path) -> None:
    """As if it had been trained with it, golden images included, and the way back is open."""
    old = load_tiny(tmp_path / "1")
    made = load_tiny(tmp_path / "made", score="mahalanobis")

    new = Bundle.load(recalibrate(old, CalibrateConfig(), score="mahalanobis"))

    assert (new.manifest.score.name, new.threshold) == ("mahalanobis", made.threshold)
    assert new.manifest.self_test == made.manifest.self_test != old.manifest.self_test
    card = (new.path / "README.md").read_text(encoding="utf-8")
    assert "The score is now mahalanobis; figures of the score below are of energy." in card
    origin = new.manifest.provenance["derived_from"]
    assert isinstance(origin, dict)
    assert origin["score"] == "energy"
    for embedding_D in _embeddings(made):
        assert decide(new, embedding_D) == decide(made, embedding_D)
    back = Bundle.load(recalibrate(new, CalibrateConfig(), score="energy"))
    assert (back.threshold, back.manifest.self_test) == (old.threshold, old.manifest.self_test)


def test_a_score_that_was_not_stored_comes_from_the_embeddings(tmp_path: Path) -> None:
    """Without these it cannot, nor can one that was never fitted."""
    old = load_tiny(tmp_path / "1")
    embedded = replace(old, calibration=replace(old.calibration, other_scores={}))
    bare = replace(old, calibration=replace(embedded.calibration, embeddings_nD=None))
    unfitted = replace(old, scores={"energy": old.score}, calibration=bare.calibration)

    new = Bundle.load(recalibrate(embedded, CalibrateConfig(), score="mcm"))

    np.testing.assert_array_equal(new.calibration.scores_n, old.calibration.other_scores["mcm"])
    with pytest.raises(ConfigError, match="neither calibration scores for mcm nor"):
        recalibrate(bare, CalibrateConfig(), score="mcm")
    for score, advice in (("knn", "again to"), ("neglabel", "again with --negatives FILE to")):
        with pytest.raises(ConfigError, match=f"score {score} was not fitted .* {advice} have it"):
            recalibrate(unfitted, CalibrateConfig(), score=score)
    with pytest.raises(ConfigError, match="`score` must be one of energy"):
        recalibrate(old, CalibrateConfig(), score="magic")


def _embeddings(bundle: Bundle) -> NDArray[np.float32]:
    embeddings_nD = bundle.calibration.embeddings_nD
    assert embeddings_nD is not None
    return embeddings_nD[::20]


def test_the_old_bundle_stays_as_it_was(tmp_path: Path) -> None:
    """Nothing is overwritten: it still loads, with its own threshold."""
    path = tiny_bundle(tmp_path / "1")
    before = Bundle.load(path).manifest

    recalibrate(Bundle.load(path), STRICT)

    assert Bundle.load(path).manifest == before


def test_the_new_version_says_where_it_comes_from(tmp_path: Path) -> None:
    """Origin and former threshold; figures are marked with the version they were measured on."""
    old = load_tiny(tmp_path / "1", metrics={"known": {"refused": 0.03}}, provenance={"seed": 7})

    once = Bundle.load(recalibrate(old, STRICT))
    twice = Bundle.load(recalibrate(once, CalibrateConfig(alpha=0.1)))

    assert once.manifest.provenance["seed"] == 7
    origin = once.manifest.provenance["derived_from"]
    assert isinstance(origin, dict)
    assert (origin["version"], origin["derived_from"]) == ("1", None)
    assert origin["threshold"] == old.manifest.threshold.model_dump()
    for bundle in (once, twice):
        assert bundle.manifest.metrics == {
            "measured_with_version": "1",
            "known": {"refused": 0.03},
        }
    assert twice.manifest.provenance["derived_from"] == {
        "name": "colours",
        "version": "2",
        "score": "energy",
        "threshold": once.manifest.threshold.model_dump(),
        "derived_from": origin,
    }


@pytest.mark.parametrize(
    ("folder", "version", "expected"),
    [
        ("1", "1", ("2", "2")),
        ("colours-1", "1", ("colours-2", "2")),
        ("mine", "1", ("mine-2", "2")),
        ("v1.9", "v1.9", ("v1.10", "v1.10")),
        ("beta", "beta", ("beta.1", "beta.1")),
    ],
)
def test_the_next_version_counts_on(
    tmp_path: Path, folder: str, version: str, expected: tuple[str, str]
) -> None:
    """Beside the old one, in the same way of naming."""
    old = load_tiny(tmp_path / folder, version=version)

    new = Bundle.load(recalibrate(old, STRICT))

    assert (new.path.name, new.manifest.version) == expected


def test_a_version_that_exists_is_passed_over(tmp_path: Path) -> None:
    """Versions 2 and 3 were made by others; this one becomes 4."""
    old = load_tiny(tmp_path / "1")
    (tmp_path / "2").mkdir()
    (tmp_path / "3").mkdir()

    assert recalibrate(old, STRICT) == tmp_path / "4"


def test_a_given_directory_is_taken_but_never_overwritten(tmp_path: Path) -> None:
    """The second time it exists."""
    old = load_tiny(tmp_path / "1")

    assert recalibrate(old, STRICT, out=tmp_path / "strict") == tmp_path / "strict"
    with pytest.raises(ConfigError, match="strict exists already"):
        recalibrate(old, STRICT, out=tmp_path / "strict")


def test_too_few_scores_for_the_promise_write_nothing(tmp_path: Path) -> None:
    """At 0.5 % with 95 % confidence 598 images would do; there are 300."""
    old = load_tiny(tmp_path / "1")

    with pytest.raises(TooFewImages, match=r"300 calibration images are too few.*at least 598"):
        recalibrate(old, CalibrateConfig(alpha=0.005))
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_card_and_report_carry_a_notice(tmp_path: Path) -> None:
    """Their decisions are the former threshold's; the notice says so."""
    source = load_tiny(tmp_path / "source")
    old = _with_report(source, tmp_path / "1", f"<main>{NOTICES}<p>old</p></main>")

    new = recalibrate(Bundle.load(old), STRICT)

    card = (new / "README.md").read_text(encoding="utf-8")
    page = (new / "report" / "index.html").read_text(encoding="utf-8")
    said = "it will refuse about 0.66 % of known images; promise: at most 2 % with 95 % confidence"
    assert card.startswith("> Version 2 was recalibrated from version 1")
    assert card.endswith("# Colours\n")
    assert said in card
    assert f'{NOTICES}\n<p class="notice">Version 2' in page
    assert said in page
    assert page.endswith("<p>old</p></main>")


def _with_report(source: Bundle, directory: Path, page: str) -> Path:
    derived = {"format", "created", "croft_version", "logit_scale", "files"}
    fields = source.manifest.model_dump(exclude=derived) | {"version": "1"}
    files: dict[str, Path | bytes] = {
        name: source.path / name
        for name in source.manifest.files
        if name not in ("head.safetensors", "calibration.safetensors")
    }
    return write_bundle(
        directory,
        fields,
        head=source.head,
        calibration=source.calibration,
        files=files | {"report/index.html": page.encode()},
        scores=source.scores,
    )
