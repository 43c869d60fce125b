"""The order, display names and prompts of classes, and names shared with the unknown."""

from pathlib import Path

import pytest

from models.errors import ConfigError, DataError
from training.class_names import default_spec, overlapping_names, read_classes, resolve_classes


def _write(folder: Path, text: str) -> Path:
    path = folder / "classes.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_folder_names_become_prompts() -> None:
    """``_`` and ``-`` are read as spaces; the name itself is kept."""
    spec = default_spec("golden_retriever-dog")

    assert (spec.name, spec.display_name) == ("golden_retriever-dog", "golden retriever dog")
    assert spec.prompts == ("a photo of a golden retriever dog.",)


def test_without_a_file_classes_are_sorted() -> None:
    """The order never depends on the file system."""
    assert [c.name for c in resolve_classes({"b", "c", "a"}, path=None)] == ["a", "b", "c"]


def test_a_file_fixes_order_names_and_prompts(tmp_path: Path) -> None:
    """What it leaves out takes the default, with the display name in the prompt."""
    path = _write(
        tmp_path,
        '[[class]]\nname = "z"\ndisplay_name = "zebra crossing"\n'
        '[[class]]\nname = "a"\nprompts = ["a sketch of an A.", "the letter A."]\n',
    )

    first, second = resolve_classes({"a", "z"}, path=path)

    assert (first.name, first.prompts) == ("z", ("a photo of a zebra crossing.",))
    assert (second.name, second.display_name) == ("a", "a")
    assert second.prompts == ("a sketch of an A.", "the letter A.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[class]\n", "not valid TOML"),
        ("", r"must hold \[\[class\]\] tables"),
        ('[class]\nname = "a"\n', r"must hold \[\[class\]\] tables"),
        ('[[classes]]\nname = "a"\n', r"found \['classes'\]"),
        ("class = [1]\n", "class 0: .*found int"),
        ('[[class]]\nname = "a"\nprompt = "x"\n', r"class 0: .*found \['name', 'prompt'\]"),
        ('[[class]]\ndisplay_name = "a"\n', r"class 0: .*found \['display_name'\]"),
        ("[[class]]\nname = 5\n", "must be text"),
        ('[[class]]\nname = " "\n', "needs a name"),
        ('[[class]]\nname = "a"\nprompts = "x"\n', "must be a list of texts, got 'x'"),
        ('[[class]]\nname = "a"\nprompts = []\n', "at least one text"),
        ('[[class]]\nname = "a"\nprompts = [""]\n', "no empty one"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "a"\n', "doubled: a"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message says which entry and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        read_classes(_write(tmp_path, text))


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: the file of classes cannot be read"):
        read_classes(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ({"cat", "dog"}, r"In the data only: dog\. In the file only .*: dgo\."),
        ({"cat"}, r"In the data only: none\. In the file only .*: dgo\."),
        ({"cat", "dgo", "owl"}, r"In the data only: owl\. In the file only .*: none\."),
    ],
)
def test_file_and_data_must_name_the_same_classes(
    tmp_path: Path, present: set[str], message: str
) -> None:
    """Both differences are listed at once."""
    path = _write(tmp_path, '[[class]]\nname = "cat"\n[[class]]\nname = "dgo"\n')

    with pytest.raises(DataError, match=message):
        resolve_classes(present, path=path)


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        ("dog", "Dog"),
        ("golden_retriever", "Golden-Retrievers"),
        ("ice cream", "icecream"),
        ("cherry", "cherries"),
        ("box", "boxes"),
        ("bench", "benches"),
        ("glass", "glass"),
    ],
)
def test_one_class_under_two_names_is_found(known: str, unknown: str) -> None:
    """Case, separators and simple plurals do not hide an overlap."""
    assert overlapping_names([known, "zebra"], ["table", unknown]) == [(known, unknown)]


def test_different_classes_do_not_overlap() -> None:
    """An s at the end is not always a plural."""
    assert (
        overlapping_names(["glass", "bus", "car", "tennis"], ["glas", "bu", "cat", "tenni"]) == []
    )
