"""training.negative_names."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from training.class_names import ClassSpec, default_spec
from training.negative_names import prompts_like, read_names, without_classes


def written(folder: Path, data: str | bytes) -> Path:
    """Write a file of names."""
    path = folder / "names.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def classes(*prompts: tuple[str, ...]) -> list[ClassSpec]:
    """Return classes called cat, dog, sea_lion, worded like this."""
    named = zip(("cat", "dog", "sea lion"), prompts, strict=False)
    return [
        ClassSpec(
            name=name.replace(" ", "_"),
            display_name=name,
            prompts=tuple(prompt.replace("NAME", name) for prompt in texts),
        )
        for name, texts in named
    ]


def test_a_name_a_line(tmp_path: Path) -> None:
    """Comments and blank lines are passed over, whatever ends a line; a name counts once."""
    path = written(tmp_path, "\ufeff# birds\r\nsea eagle\n\n  C# manual \nSea-Eagles\njay")

    assert read_names(path) == ("sea eagle", "C# manual", "jay")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("# nothing\n\n", r"names\.txt: no negative name there"),
        ("jay\nna\u00efve".encode("latin-1"), r"names\.txt: line 2 is not UTF-8"),
        ("jay".encode("utf-16"), r"names\.txt: line 1 is not UTF-8"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    tmp_path: Path, data: str | bytes, message: str
) -> None:
    """Each says what is wrong with it, and where."""
    with pytest.raises(ConfigError, match=message):
        read_names(written(tmp_path, data))
    with pytest.raises(ConfigError, match=r"lost\.txt: the negative names cannot be read"):
        read_names(tmp_path / "lost.txt")


def test_names_of_classes_are_left_out_and_listed() -> None:
    """By folder or by what people read, whatever the spelling."""
    known = [default_spec("sea_lion"), ClassSpec(name="x1", display_name="Cup", prompts=("a",))]

    kept, notes = without_classes(["Sea Lions", "jay", "cups", "X1", "tram"], known)

    assert kept == ("jay", "tram")
    assert notes == ["3 of 5 negative names are classes, and left out: Sea Lions, cups, X1."]
    assert without_classes(["jay"], known) == (("jay",), [])
    with pytest.raises(ConfigError, match="Every negative name is a class: cups"):
        without_classes(["cups"], known)


def test_names_are_worded_as_most_classes_are() -> None:
    """Every wording that more than half have, in order; one that few have is theirs alone."""
    both = ("a photo of a NAME.", "NAME {drawn}")
    known = classes(both, (*both, "a NAME at night"), ("a photo of a NAME.", "no name"))

    assert prompts_like(known, ["sea_eagle", "jay"]) == {
        "sea eagle": ("a photo of a sea eagle.", "sea eagle {drawn}"),
        "jay": ("a photo of a jay.", "jay {drawn}"),
    }


def test_names_are_worded_as_usual_where_classes_have_nothing_in_common() -> None:
    """As a class is that has no prompts of its own."""
    known = classes(("my NAME",), ("NAME, sleeping",), ("a photo of a seal.",))

    assert prompts_like(known, ["jay"]) == {"jay": ("a photo of a jay.",)}
