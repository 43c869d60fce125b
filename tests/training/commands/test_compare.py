"""``croft compare``."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from shutil import copytree

import pytest
from PIL import Image

from croft.cli import main
from tests.training.evaluations import write_colours, write_unknown
from tests.training.test_pipeline import foreign_encoder
from training.baselines.methods import METHODS as BASELINES
from training.commands.compare import add_arguments
from training.comparison.judge import COMPARED
from training.comparison.table import NO_UNKNOWN

METHODS = "zero-shot,Tip-Adapter,CRoFT"


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``data`` of two domains, ``unknown``, and an encoder."""
    root = tmp_path_factory.mktemp("compare")
    write_colours(root / "data")
    write_unknown(root / "unknown")
    foreign_encoder(root)
    return root


def compare(root: Path, *flags: str) -> int:
    """Return the exit status of the command."""
    encoder = ["--encoder", root / "foreign.onnx", "--encoder-spec", root / "spec.toml"]
    files = [*encoder, "--text-features", root / "text.npz", "--cache", root / "cache"]
    return main(["compare", str(root / "data"), *map(str, files), *flags])


def test_it_compares_on_held_out_domains(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan before, tables after, and three files."""
    unknown = f"--unknown=greys={colours / 'unknown'}"
    flags = ["--leave-domain-out", "--seeds", "2", "--methods", METHODS, "--out", str(tmp_path)]

    assert compare(colours, unknown, *flags) == 0

    text = capsys.readouterr().out
    assert "auto" not in text
    assert "training images of all seeds in 8 views." in text
    assert (
        "3 methods (zero-shot, Tip-Adapter, CRoFT) on 4 trials (faded, photo; seeds: 2): 12 times, "
        "each judged under 11 scores." in text
    )
    assert text.index("To train") < text.index("Accuracy, %") < text.index("AUROC, %")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 12 * 2 * 11
    assert {row["score"] for row in rows} == set(COMPARED)
    assert {(row["trial"], row["known"]) for row in rows} == {
        ("faded", "faded (shifted)"),
        ("faded", "trained domains"),
        ("photo", "photo (shifted)"),
        ("photo", "trained domains"),
    }
    assert "## greys against faded (shifted)" in (tmp_path / "table.md").read_text()
    with Image.open(tmp_path / "comparison.png") as picture:
        assert picture.format == "PNG"


def test_auto_says_where_it_has_nothing_to_select_by(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the work, and in its line of the table: the energy was not selected."""
    unknown = f"--unknown=greys={colours / 'unknown'}"
    flags = ["--domains", "photo", "--seeds", "1", "--methods", "zero-shot,auto", "--shots", "2"]

    assert compare(colours, unknown, *flags, "--scores", "msp", "--out", str(tmp_path)) == 0

    text = " ".join(capsys.readouterr().out.split())
    assert "auto selects nothing in 1 of 1 trials, and is CRoFT by the energy there: " in text
    assert "without objects" not in text
    assert "(energy (nothing to select by) in 1 of 1 trials)" in text
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {(row["method"], row["score"], row.get("selected", "-")) for row in rows} == {
        ("zero-shot", "msp", "-"),
        ("auto", "energy", None),
    }


@pytest.mark.slow
def test_auto_selects(colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Among four classes, by other images than those that it is judged by."""
    write_colours(tmp_path / "data")
    for domain in ("photo", "faded"):
        copytree(colours / "unknown" / "yellow", tmp_path / "data" / domain / "yellow")
    unknown = f"--unknown=black={colours / 'unknown' / 'black'}"
    flags = ["--domains", "photo", "--seeds", "1", "--methods", "auto", "--shots", "2"]
    encoder = ["--encoder", colours / "foreign.onnx", "--encoder-spec", colours / "spec.toml"]
    files = [*encoder, "--text-features", colours / "text.npz", "--cache", tmp_path / "cache"]
    given = [str(tmp_path / "data"), *map(str, files), unknown, *flags]

    assert main(["compare", *given, "--out", str(tmp_path / "out")]) == 0

    text = capsys.readouterr().out
    assert "in 8 views and, for auto, once without objects." in text
    assert re.search(r"auto tunes [1-9]\d* times more, on parts of the training images", text)
    # plain, in views, without objects
    assert len(list((tmp_path / "cache" / "embeddings").iterdir())) == 3
    rows = json.loads((tmp_path / "out" / "rows.json").read_text())
    (selected,) = {row["selected"] for row in rows}
    assert f"({selected} in 1 of 1 trials)" in text
    assert all(row["score"] == selected for row in rows)


def test_without_unknown_sets_accuracy_is_compared(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the test images of each domain, one of which is not trained on."""
    flags = ["--domains", "photo", "--seeds", "1", "--methods", "zero-shot", "--shots", "4"]

    assert compare(colours, *flags, "--out", str(tmp_path)) == 0

    text = capsys.readouterr().out
    assert NO_UNKNOWN in text
    assert "over the test images of one seed" in text
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["known"] for row in rows] == ["photo", "faded (shifted)"]
    assert not any("auroc" in row for row in rows)


def test_what_needs_a_text_encoder_is_left_out_with_a_word(
    colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any work; alone it leaves nothing to compare."""
    assert compare(colours, "--methods", "CoOp") == 2

    printed = capsys.readouterr()
    assert "CoOp is left out: it needs a text encoder" in printed.out
    assert "No method is left to compare." in printed.err


@pytest.mark.slow
def test_several_prompts_are_compared_with_one(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is a text encoder to read them."""
    classes = tmp_path / "classes.toml"
    classes.write_text(
        "\n".join(
            f'[[class]]\nname = "{name}"\nprompts = ["{name}", "a picture of {name}"]'
            for name in sorted(path.name for path in (colours / "data" / "photo").iterdir())
        )
    )
    data, cache = str(colours / "data"), str(colours / "cache")
    flags = ["--backbone", "toybox", "--classes", str(classes), "--cache", cache, "--shots", "2"]
    methods = "zero-shot,zero-shot ensemble"

    assert main(["compare", data, *flags, "--seeds", "1", "--methods", methods]) == 0

    text = capsys.readouterr().out
    assert "2 methods (zero-shot, zero-shot ensemble)" in text
    right = {line[:18].strip(): line[18:] for line in text.splitlines() if " ± " in line}
    assert right.keys() == {"zero-shot", "zero-shot ensemble"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods", "crofd"], "--methods has 'crofd'; there are: zero-shot, "),
        (["--scores", "energy,enrgy"], "--scores has 'enrgy'; there are: energy, "),
        (["--seeds", "0"], "--seeds must be at least 1, got 0."),
        (["--unknown", "greys"], "--unknown takes NAME=DIR"),
        (["--domains", "photos"], "`domains` names photos; the data has: faded, photo."),
    ],
)
def test_a_mistake_is_one_message(
    colours: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    """That names what is allowed."""
    assert compare(colours, *flags) == 2
    assert message in capsys.readouterr().err


def test_domains_are_either_named_or_left_out_in_turn(
    colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not both."""
    with pytest.raises(SystemExit, match="2"):
        compare(colours, "--domains", "photo", "--leave-domain-out")
    assert "not allowed with" in capsys.readouterr().err


def test_the_page_names_flags_that_there_are() -> None:
    """And shows the picture."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    root = Path(__file__).parents[3]
    page = (root / "docs" / "compare.md").read_text()

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert named
    assert named <= set(parser._option_string_actions)
    for picture in re.findall(r"\]\((images/.*?)\)", page):
        assert (root / "docs" / picture).is_file()
    assert all(f"`{name}`" in page for name in BASELINES)
