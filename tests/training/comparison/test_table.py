"""Tables: every mean where it belongs, and narrow enough for a terminal."""

from __future__ import annotations

from tests.training.comparison.problems import own_rows, row, rows, without_unknown
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


def test_a_method_with_its_own_score_has_a_line_below_the_scores() -> None:
    """Its AUROC over all trials, whatever was selected in which; accuracies as for any other."""
    lines = lines_of([*rows(), *own_rows("knn", "energy+mahalanobis", "knn")])
    start = lines.index("AUROC, %: mean of 2 unknown sets against 2 shifted known sets")

    assert lines[4].split()[:2] == ["auto", "62.0"]
    assert lines[start + 1].split() == ["score", "0", "score", "1"]
    assert [line.split()[0] for line in lines[start + 2 : start + 4]] == ["method", "method"]
    assert lines[start + 4].startswith("auto, by the score it selected: 80.0 ± 3.9 (")
    assert lines[start + 4].endswith(" (knn in 4 of 6 trials, energy+mahalanobis in 2)")
    assert lines[start + 5] == ""


def test_energy_for_want_of_anything_to_select_by_is_not_called_selected() -> None:
    """Where another draw selected the same one, too; no line is too long."""
    lines = lines_of([*rows(), *own_rows("energy", "knn", None)])

    assert "(energy in 2 of 6 trials, knn in 2, energy (nothing to select by) in 2)" in " ".join(
        line.strip() for line in lines
    )
    assert max(map(len, lines)) <= WIDTH


def test_alone_it_needs_no_other_columns() -> None:
    """Nor has it any without unknown sets."""
    alone = own_rows("knn", "knn")

    assert "auto, by the score it selected: 80.0 ± 3.9 (knn in 4 of 4 trials)" in lines_of(alone)
    for text in ("\n".join(lines_of(without_unknown(alone))), markdown(without_unknown(alone))):
        assert NO_UNKNOWN in text
        assert "it selected" not in text


def test_the_full_table_has_one_row_for_what_was_selected() -> None:
    """In each part, however many different scores that were."""
    text = markdown([*rows(), *own_rows("knn", "energy", "energy")])

    assert text.count("| auto | selected | 80.0 ± 3.9 | 40.0 | 30.0 |") == 1 + 2 * 3
    assert "| knn |" not in text
    assert "(energy in 4 of 6 trials, knn in 2)" in text
