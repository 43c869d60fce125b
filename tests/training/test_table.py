"""training.table."""

from dataclasses import replace

from models.threshold import Threshold
from tests.training.test_summary import evaluation, row
from training.evaluate import KNOWN, SHIFTED
from training.summary import summarize
from training.table import lines_of


def test_the_table_shows_every_set_with_its_intervals() -> None:
    """Known, shifted, domains, unknown; AUROC; and whether the refusals are as expected."""
    figures = summarize(
        evaluation(
            row(KNOWN, 1.0, domain="photo"),
            row(KNOWN, 11.0, domain="photo"),
            row(SHIFTED, 12.0, domain="sketch", right=False),
            row("things", 20.0),
        )
    )

    text = "\n".join(lines_of(figures))

    assert "This bundle will refuse about 2.1 % of known images; promise: at most 5 %" in text
    rows = {" ".join(line.split()[:-1]) for line in text.splitlines() if line}
    assert "known 2 100.0 % (16-100) 50.0 %" in rows
    assert "known, other styles 1 0.0 % (0-98) 100.0 %" in rows
    assert "sketch 1 0.0 % (0-98) 100.0 %" in rows
    assert "unknown: things 1 100.0 %" in rows
    assert "AUROC things against known: 1.000" in rows
    assert "1 known images refused; inside the band of 0 to 1" in text


def test_refusals_outside_the_band_are_shouted() -> None:
    """A person who skims must see it."""
    figures = summarize(evaluation(*(row(KNOWN, 11.0) for _ in range(10))))

    assert "OUTSIDE the band" in "\n".join(lines_of(figures))


def test_a_marginal_bundle_is_called_marginal() -> None:
    """In the first line."""
    marginal = Threshold(method="conformal", alpha=0.05, delta=None, n=19, rank=1, value=10.0)
    judged = replace(evaluation(row(KNOWN, 1.0)), threshold=marginal)

    first = lines_of(summarize(judged))[0]

    assert first.endswith("(marginal).")
