"""``croft evaluate``."""

import json
from pathlib import Path

import pytest

from croft.cli import main
from tests.bundles import colour_image, tiny_bundle
from tests.training.evaluations import write_colours, write_unknown
from training.data import load_dataset

CALIBRATED = {"calibrated_domains": ["photo"]}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``bundle``, ``data`` and ``unknown``."""
    root = tmp_path_factory.mktemp("evaluate")
    tiny_bundle(root / "bundle", dataset=CALIBRATED)
    write_colours(root / "data")
    write_unknown(root / "unknown")
    return root


def figures_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, dict]:  # type: ignore[type-arg]
    """Run the command with --json, and return what it prints."""
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    found: dict[str, dict] = json.loads(capsys.readouterr().out)  # type: ignore[type-arg]
    return found


def test_it_prints_a_table_and_writes_everything(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page, the figures, and each answer as JSONL and CSV."""
    unknown = f"--unknown=greys={colours / 'unknown'}"
    out = tmp_path / "out"
    command = ["evaluate", str(colours / "bundle"), str(colours / "data"), unknown]

    assert main([*command, "--out", str(out)]) == 0

    text = capsys.readouterr().out
    assert "121 usable images" in text
    assert "unknown: greys" in text
    assert f"report: {out / 'index.html'}" in text
    assert sorted(path.name for path in out.iterdir()) == [
        "answers.csv",
        "answers.jsonl",
        "index.html",
        "metrics.json",
    ]
    assert len((out / "answers.jsonl").read_text().splitlines()) == 121 + 25


def test_domains_that_were_not_calibrated_on_are_shifted(
    colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle knows which; a flag can say otherwise."""
    by_bundle = figures_of(capsys, colours / "bundle", colours / "data")
    by_flag = figures_of(capsys, colours / "bundle", colours / "data", "--shifted", "photo")

    assert (by_bundle["known"]["images"], by_bundle["shifted"]["images"]) == (61, 60)
    assert (by_flag["known"]["images"], by_flag["shifted"]["images"]) == (60, 61)


def test_a_bundle_that_does_not_say_takes_all_domains_as_its_own(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was trained on data without domains."""
    bundle = tiny_bundle(tmp_path / "bundle")

    found = figures_of(capsys, bundle, colours / "data")

    assert found["known"]["images"] == 121
    assert found["shifted"] is None


def test_classes_that_the_bundle_does_not_know_are_judged_as_unknown(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And named, so that a misspelt folder is noticed."""
    for name in ("red", "yellow"):
        for index in range(3):
            path = tmp_path / name / f"{index}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(colour_image(name, seed=3000 + index))

    assert main(["evaluate", str(colours / "bundle"), str(tmp_path)]) == 0

    text = capsys.readouterr().out
    assert "Judged as unknown, because the bundle does not know these classes: yellow." in text
    assert "unknown: other classes" in text


def test_known_names_among_the_unknown_are_reported(
    colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accepting them may be right, and would count as a miss."""
    overlap = f"same={colours / 'data'}"

    assert (
        main(["evaluate", str(colours / "bundle"), str(colours / "data"), "--unknown", overlap])
        == 0
    )

    out = capsys.readouterr().out
    assert "`same` has classes named like known ones: red, green, blue. If" in out


@pytest.mark.parametrize("field", ["digest", "calibration_digest"])
def test_the_data_of_the_bundle_itself_is_pointed_out(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    """Also beside JSON; figures of other data carry no such warning."""
    warning = "WARNING: the bundle was trained or calibrated on this very data"
    own = load_dataset(colours / "data")[0].digest
    bundle = tiny_bundle(tmp_path / "bundle", dataset={field: own})

    assert main(["evaluate", str(bundle), str(colours / "data")]) == 0
    assert warning in capsys.readouterr().out
    assert main(["evaluate", str(bundle), str(colours / "data"), "--json"]) == 0
    assert warning in capsys.readouterr().err
    assert main(["evaluate", str(colours / "bundle"), str(colours / "data")]) == 0
    assert warning not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--unknown", "greys"], "--unknown takes NAME=DIR, each name once"),
        (["--unknown", "other classes=x"], "none of them `other classes`"),
        (["--unknown", "greys=/nowhere"], "/nowhere: no such file or folder"),
        (["--shifted", "sketch"], "DATA has no domain `sketch`; it has faded, photo"),
    ],
)
def test_wrong_flags_are_a_message_and_status_2(
    colours: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    """It says what was given and what there is."""
    assert main(["evaluate", str(colours / "bundle"), str(colours / "data"), *flags]) == 2

    assert message in capsys.readouterr().err


def test_data_without_any_known_class_is_refused(
    colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both lists of names are shown."""
    assert main(["evaluate", str(colours / "bundle"), str(colours / "unknown")]) == 2

    error = capsys.readouterr().err
    assert "no image of a class that the bundle knows. It knows red, green, blue" in error
    assert "the data has black, white, yellow" in error
