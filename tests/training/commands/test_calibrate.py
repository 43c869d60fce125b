"""``croft calibrate``."""

from pathlib import Path

import pytest

from croft.cli import main
from models.bundle import Bundle
from tests.bundles import tiny_bundle


def test_a_new_alpha_is_explained_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What to expect, the threshold before and after, and where the new version is."""
    old = Bundle.load(tiny_bundle(tmp_path / "1"))

    assert main(["calibrate", str(tmp_path / "1"), "--alpha", "0.02"]) == 0

    new = Bundle.load(tmp_path / "2")
    assert (new.threshold.method, new.threshold.alpha, new.threshold.delta) == ("pac", 0.02, 0.05)
    assert capsys.readouterr().out.splitlines() == [
        "colours 2: will refuse about 0.66 % of known images; promise: at most 2 % with 95 % "
        "confidence",
        f"threshold {old.threshold.value:.4f} -> {new.threshold.value:.4f} (score 2 of 300)",
        str(tmp_path / "2"),
    ]


def test_another_score_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which decided, and which does now."""
    assert (
        main(["calibrate", str(tiny_bundle(tmp_path / "1")), "--score", "energy+mahalanobis"]) == 0
    )

    assert "score energy -> energy+mahalanobis" in capsys.readouterr().out
    assert Bundle.load(tmp_path / "2").manifest.score.name == "energy+mahalanobis"


def test_method_and_delta_can_change_too(tmp_path: Path) -> None:
    """What is not given stays as the bundle has it; conformal has no delta to keep."""
    path = str(tiny_bundle(tmp_path / "1"))

    assert main(["calibrate", path, "--calibration", "conformal", "--out", f"{path}c"]) == 0
    assert main(["calibrate", path, "--delta", "0.2", "--out", f"{path}d"]) == 0
    assert main(["calibrate", f"{path}c", "--calibration", "pac", "--out", f"{path}e"]) == 0

    found = [Bundle.load(tmp_path / name).threshold for name in ("1c", "1d", "1e")]
    assert [(t.method, t.alpha, t.delta, t.rank) for t in found] == [
        ("conformal", 0.05, None, 15),
        ("pac", 0.05, 0.2, 12),
        ("pac", 0.05, 0.05, 9),
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--alpha", "0"], "`alpha` must lie between 0 and 1"),
        (["--alpha", "0.001"], "300 calibration images are too few"),
        (["--calibration", "conformal", "--delta", "0.1"], "conformal has none. Leave it out"),
    ],
)
def test_what_cannot_be_promised_is_a_message_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    """And no bundle."""
    path = tiny_bundle(tmp_path / "1")

    assert main(["calibrate", str(path), *flags]) == 2

    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
