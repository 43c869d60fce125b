"""training.report: written from a real evaluation, and read back as a person's browser would."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from models.bundle import Bundle
from tests.bundles import load_tiny
from tests.training.evaluations import colour_evaluation, colour_sets
from training.evaluate import KNOWN, SHIFTED, Evaluation, Sets, evaluate
from training.recalibrate import NOTICES
from training.report import write_report
from training.summary import summarize

LOADING = ("src", "href", "srcset", "poster", "data", "action", "xlink:href")


class Page(HTMLParser):
    """What a page consists of: sections, text, and everything that it would load."""

    def __init__(self, source: str) -> None:
        """Parse it."""
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect ids, tags and addresses."""
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and tag in ("header", "section"):
                self.ids.append(value or "")
            if name in LOADING:
                self.loads.append(value or "")

    def handle_data(self, data: str) -> None:
        """Collect text."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Evaluation, Path]:
    """Return a bundle, how it judges colours, and the folder of its report."""
    root = tmp_path_factory.mktemp("report")
    bundle, evaluation = colour_evaluation(root)
    data_report = ["61 usable images", "Left out, not decodable: 1 <script>"]
    write_report(root / "out", bundle=bundle, evaluation=evaluation, data_report=data_report)
    return bundle, evaluation, root / "out"


@pytest.fixture(scope="module")
def source(written: tuple[Bundle, Evaluation, Path]) -> str:
    """Return the page's HTML."""
    return (written[2] / "index.html").read_text(encoding="utf-8")


def test_every_section_is_there(source: str) -> None:
    """With four pictures."""
    page = Page(source)

    assert page.ids == ["promise", "scores", "domains", "confusion", "examples", "data", "recipe"]
    assert page.tags.count("svg") == 4


def test_nothing_is_loaded_from_anywhere(source: str) -> None:
    """Images are data, references stay in the page, and a browser is told to allow no more."""
    page = Page(source)

    assert page.loads
    assert all(address.startswith(("data:image/", "#")) for address in page.loads)
    assert "default-src 'none'" in source
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", source)


def test_the_figures_are_those_of_the_evaluation(
    written: tuple[Bundle, Evaluation, Path], source: str
) -> None:
    """In the cards, the tables and the JSON beside the page."""
    _, evaluation, folder = written
    figures = summarize(evaluation)
    text = Page(source).text

    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == figures
    for rate in (
        figures["known"]["refused"],
        figures["known"]["accuracy"],
        figures["shifted"]["accuracy"],
        figures["unknown"]["greys & co <b>"]["caught"],
    ):
        assert f"{100 * rate['rate']:.1f} %" in text
    for name in ("known", "shifted"):
        area = figures["unknown"]["greys & co <b>"][f"against_{name}"]["correct"]
        assert f"{area['auroc']:.3f} ({area['auroc_low']:.3f}–{area['auroc_high']:.3f})" in text
    assert "inside the band" in text


def test_every_score_has_a_row_and_the_deciding_one_is_marked(
    written: tuple[Bundle, Evaluation, Path], source: str
) -> None:
    """With its AUROC and share caught of each unknown set, and the shares that it refuses."""
    _, evaluation, _ = written
    figures = summarize(evaluation)["scores"]
    table = source[source.index('id="every-score"') :].partition("</table>")[0]
    rows = [Page(f"<tr{part}").text for part in table.split("<tr")[3:]]

    assert table.count('class="decides"') == 1
    assert "other styles refused" in Page(table).text
    expected = []
    for name, part in figures.items():
        unknown = part["unknown"]["greys & co <b>"]
        shares = (unknown["caught"], part["refused"]["known"], part["refused"]["shifted"])
        decides = " decides" if name == "energy" else ""
        cells = " ".join(f"{100 * share:.1f} %" for share in shares)
        expected.append(f"{name}{decides} {unknown['against_known']['auroc']:.3f} {cells}")
    assert rows == expected


def test_one_score_alone_needs_no_table(
    written: tuple[Bundle, Evaluation, Path], tmp_path: Path
) -> None:
    """In a bundle from before there were others."""
    bundle, evaluation, _ = written
    energy = replace(evaluation, thresholds={"energy": bundle.threshold.value})

    page = write_report(tmp_path, bundle=bundle, evaluation=energy, examples=0)

    assert "every-score" not in page.read_text(encoding="utf-8")


def test_the_promise_comes_first(source: str) -> None:
    """And with it what is not promised."""
    text = Page(source).text

    promise = "will refuse about 3 % of known images; promise: at most 5 % with 95 % confidence"
    assert promise in text
    assert "measured, not promised" in text
    assert "no defence against adversarial uploads" in text
    assert text.index(promise) < text.index("Known and unknown")


def test_examples_of_every_kind_are_shown(
    written: tuple[Bundle, Evaluation, Path], source: str
) -> None:
    """At most eight each, with truth, answer, energy and p-value; the totals are all of them."""
    _, evaluation, _ = written
    text = Page(source).text
    kinds = {
        "Known, accepted, wrong class": 1,
        "Known, refused": sum(r.decision.rejected for r in evaluation.of(KNOWN)),
        "Known in other styles, refused": sum(r.decision.rejected for r in evaluation.of(SHIFTED)),
        "Unknown, accepted: missed": 1,
        "Unknown, refused": 24,
    }

    for title, total in kinds.items():
        assert f"{title} {total}" in text
    (missed,) = (r for r in evaluation.of("greys & co <b>") if not r.decision.rejected)
    energy, p_value = missed.decision.energy, missed.decision.p_value
    assert f"black → red E {energy:.2f} p {p_value:.3f}" in text
    assert source.count("data:image/jpeg") <= 7 * 8


def test_names_and_lines_from_outside_are_escaped(source: str) -> None:
    """A set called <b> and a file called <script> stay text."""
    page = Page(source)

    assert "greys & co <b>" in page.text
    assert "Left out, not decodable: 1 <script>" in page.text
    assert "script" not in page.tags
    assert html.escape("greys & co <b>") in source


def test_a_report_without_pictures_of_the_users_images(
    written: tuple[Bundle, Evaluation, Path], tmp_path: Path
) -> None:
    """For images that must not travel with the bundle."""
    bundle, evaluation, _ = written

    page = write_report(tmp_path, bundle=bundle, evaluation=evaluation, examples=0)

    text = page.read_text(encoding="utf-8")
    assert "data:image/jpeg" not in text
    assert "No report on the data was given." in text


def test_images_that_are_gone_are_left_out(tmp_path: Path) -> None:
    """The figures do not need them."""
    bundle, evaluation = colour_evaluation(tmp_path)
    for row in evaluation.of(KNOWN):
        row.path.unlink()

    page = write_report(tmp_path / "out", bundle=bundle, evaluation=evaluation)

    assert 0 < page.read_text(encoding="utf-8").count("data:image/jpeg") <= 4 * 8


def test_a_marginal_bundle_is_marked(tmp_path: Path) -> None:
    """In a tag, in the promise, and in words that say what it means."""
    bundle, evaluation = colour_evaluation(tmp_path, method="conformal")

    page = write_report(tmp_path / "out", bundle=bundle, evaluation=evaluation)

    source = page.read_text(encoding="utf-8")
    assert '<span class="tag">marginal</span>' in source
    assert "on average over calibration sets (marginal)" in Page(source).text
    assert "no confidence is attached to it" in Page(source).text


def test_known_images_alone_make_a_report(tmp_path: Path) -> None:
    """Without shifted or unknown images there is no ROC curve, and no empty card."""
    bundle = load_tiny(tmp_path / "bundle")
    evaluation = evaluate(bundle, Sets(known=colour_sets(tmp_path).known))

    page = Page(write_report(tmp_path / "out", bundle=bundle, evaluation=evaluation).read_text())

    assert page.tags.count("svg") == 3
    assert "AUROC" not in page.text.replace("bootstrap for AUROC", "")


def test_a_report_takes_notices(source: str) -> None:
    """Where a later recalibration says that its figures are of another threshold."""
    assert source.count(NOTICES) == 1


def test_the_page_is_the_same_every_time(
    written: tuple[Bundle, Evaluation, Path], source: str, tmp_path: Path
) -> None:
    """Examples, bootstrap and drawings have seeds."""
    bundle, evaluation, _ = written
    data_report = ["61 usable images", "Left out, not decodable: 1 <script>"]

    page = write_report(tmp_path, bundle=bundle, evaluation=evaluation, data_report=data_report)

    assert page.read_text(encoding="utf-8") == source
