"""Tables: every mean where it belongs, and narrow enough for a terminal."""

from __future__ import annotations

from tests.training.comparison.problems import row, rows, without_unknown
from training.comparison.table import NO_UNKNOWN, WIDTH, lines_of, markdown


def test_accuracies_by_known_set_come_first() -> None:
    """Shifted sets, their mean, then the others; stars say which are shifted."""
    lines = lines_of(rows())

    assert lines[0] == "Accuracy, % (* = shifted: no training image is from there)"
    assert lines[1].split() == ["photo*", "sketch*", "mean", "trained", "domains"]
    # 0.5 + 0.01 a seed; 4.303 * 0.01 / sqrt 3 and 1.96 * 0.01 make 3.2 %
    assert lines[2] == "method 0  52.0 ± 3.2  52.0 ± 3.2  52.0 ± 3.2       72.0 ± 3.2"
    assert lines[3].split()[2] == "55.0"


def test_aurocs_by_score_say_what_they_are_means_of() -> None:
    """Against shifted sets alone, as there are some."""
    lines = lines_of(rows())
    start = lines.index("AUROC, %: mean of 2 unknown sets against 2 shifted known sets")

    assert lines[start + 1].split() == ["score", "0", "score", "1"]
    assert [line.split()[2] for line in lines[start + 2 : start + 4]] == ["61.0", "63.0"]
    assert [line.split()[5] for line in lines[start + 2 : start + 4]] == ["64.0", "66.0"]
    assert lines[-2].startswith("±: 95 % interval: Student's over 3 seeds")


def test_sets_that_are_not_shifted_do_not_count_where_some_are() -> None:
    """An easy set would hide what a shift does."""
    made = [row(), row(known="trained domains", accuracy=1.0, auroc=1.0)]
    lines = lines_of(made)

    assert "AUROC, %: textures against photo (shifted)" in lines
    assert any(line.split() == ["CRoFT", "90.0", "±", "3.9"] for line in lines)


def test_many_columns_go_below_each_other() -> None:
    """Every score is there once, and no line is too long."""
    lines = lines_of(rows(scores=15))

    assert max(map(len, lines)) <= WIDTH
    for score in range(15):
        assert sum(f"score {score} " in f"{line} " for line in lines) == 1


def test_without_unknown_sets_there_is_no_auroc_and_it_says_so() -> None:
    """In the terminal and in Markdown."""
    made = without_unknown(rows())

    for text in ("\n".join(lines_of(made)), markdown(made)):
        assert NO_UNKNOWN in text
        assert "52.0 ± 3.2" in text
        assert "AUROC, %" not in text


def test_the_full_table_has_each_pair_and_both_fpr95() -> None:
    """Each under its own name."""
    made = rows()
    made[0] |= {"ood_miss_at_id_keep_95": 1.0}
    text = markdown(made)

    assert "| method | score | AUROC | unknown missed | known lost |" in text
    pair = text[text.index("## textures against photo (shifted)") :]
    assert "| method 0 | score 0 | 61.0 ± 4.1 | 60.0 | 30.0 |" in pair[:400]
    assert text.count("\n## ") == 2 + 3 * 2
    assert "## objects against trained domains" in text
