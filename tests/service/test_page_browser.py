"""The page, in a real browser against a real service."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from service.keys import new_key
from tests.bundles import KNOWN, colour_image, tiny_bundle
from tests.service.browser import PHONE, chromium
from tests.service.processes import served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DROP = """
const [name, type, content] = arguments;
const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], name, { type }));
document.getElementById("drop").dispatchEvent(
  new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
"""
PASTE = DROP.replace(
    'new DragEvent("drop", { dataTransfer: transfer,',
    'new ClipboardEvent("paste", { clipboardData: transfer,',
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a bundle for all tests of this module."""
    folder = tmp_path_factory.mktemp("page")
    with served(tiny_bundle(folder / "colours"), folder / "log") as service:
        yield service.url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Start one browser for all tests of this module."""
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(browser: Chrome, url: str) -> Chrome:
    """Open the page afresh."""
    _log(browser, "browser")
    browser.get(url)
    _wait(browser, lambda d: d.find_element(By.ID, "about").get_attribute("aria-busy") == "false")
    return browser


def _wait(browser: Chrome, condition: Any) -> None:
    WebDriverWait(browser, 20, poll_frequency=0.05).until(condition)


def _answers(browser: Chrome, count: int) -> list[WebElement]:
    """Return the cards, newest first, once so many are there and settled."""

    def settled(driver: Chrome) -> bool:
        cards = driver.find_elements(By.CSS_SELECTOR, "#answers .card")
        return len(cards) == count and not driver.find_elements(By.CSS_SELECTOR, ".card.waiting")

    _wait(browser, settled)
    return browser.find_elements(By.CSS_SELECTOR, "#answers .card")


def _drop(browser: Chrome, name: str, data: bytes, *, script: str = DROP) -> None:
    browser.execute_script(script, name, "image/jpeg", base64.b64encode(data).decode())


def _log(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    """Return what the browser logged since this was last asked."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def _text(card: WebElement, selector: str) -> str:
    return card.find_element(By.CSS_SELECTOR, selector).text


def test_a_dropped_known_image_is_named(page: Chrome) -> None:
    """The card says known, which class, how usual it is, and how sure the candidates are."""
    _drop(page, "r.jpg", colour_image("red"))
    (card,) = _answers(page, 1)
    assert "known" in str(card.get_attribute("class"))
    assert _text(card, ".badge") == "Known"
    assert _text(card, ".label") == "Red"
    assert "of the 300 images it was calibrated on" in _text(card, ".words")
    assert _text(card, ".candidates .name") == "Red"
    assert "r.jpg" in _text(card, ".small")
    assert "ms" in _text(card, ".timing")


def test_a_dropped_unknown_image_is_refused(page: Chrome) -> None:
    """The card says so in words, and the image lies beyond the threshold in the drawing."""
    _drop(page, "w.jpg", colour_image("white"))
    (card,) = _answers(page, 1)
    assert _text(card, ".badge") == "Refused"
    assert _text(card, ".label") == "Not one of the known classes"
    assert "more unusual than all of the 300 images" in _text(card, ".words")
    here = card.find_element(By.CSS_SELECTOR, ".chart .here").get_attribute("x1")
    cut = card.find_element(By.CSS_SELECTOR, ".chart .cut").get_attribute("x1")
    assert float(str(here)) > float(str(cut))
    chart = card.find_element(By.CSS_SELECTOR, ".chart svg")
    assert "beyond the threshold" in str(chart.get_attribute("aria-label"))


def test_several_chosen_files_are_answered_apart(page: Chrome, tmp_path: Path) -> None:
    """Known, unknown and broken ones in one choice each get their own card; the tally adds up."""
    paths = []
    for name, data in (
        ("blue.jpg", colour_image("blue")),
        ("black.jpg", colour_image("black")),
        ("cut.jpg", colour_image("red")[:-100]),
    ):
        (tmp_path / name).write_bytes(data)
        paths.append(str(tmp_path / name))
    page.find_element(By.ID, "files").send_keys("\n".join(paths))
    cards = {_text(card, ".file"): card for card in _answers(page, 3)}
    assert _text(cards["blue.jpg"], ".label") == "Blue"
    assert _text(cards["black.jpg"], ".badge") == "Refused"
    assert _text(cards["cut.jpg"], ".badge") == "Not answered"
    assert "truncated" in _text(cards["cut.jpg"], ".words")
    assert page.find_element(By.ID, "tally").text == "1 known, 1 refused, 1 not answered"


def test_an_image_can_be_pasted(page: Chrome) -> None:
    """The clipboard works like a drop."""
    _drop(page, "image.png", colour_image("green"), script=PASTE)
    (card,) = _answers(page, 1)
    assert _text(card, ".label") == "Green"


def test_the_bundle_and_its_promise_are_shown(page: Chrome) -> None:
    """Name, version, classes, and how many known images it refuses."""
    assert page.find_element(By.ID, "bundle-name").text == "colours version 1"
    promise = page.find_element(By.ID, "promise").text.replace("\u00a0", " ")
    assert promise == "Refuses about 3.0 % of known images: at most 5 %, with 95 % confidence."
    chips = [chip.text for chip in page.find_elements(By.CSS_SELECTOR, "#classes li")]
    assert chips == [name.title() for name in KNOWN]
    assert not page.find_element(By.ID, "marginal").is_displayed()


def test_a_marginal_bundle_is_marked(browser: Chrome, tmp_path: Path) -> None:
    """A conformal threshold shows as such, with what it does not promise."""
    with served(tiny_bundle(tmp_path / "m", method="conformal"), tmp_path / "log") as service:
        browser.get(service.url)
        _wait(browser, lambda d: d.find_element(By.ID, "marginal").is_displayed())
        assert "on average" in browser.find_element(By.ID, "promise").text


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Chrome, tmp_path: Path) -> None:
    """The field appears on 401, says when a key is wrong, and opens the page with a right one."""
    text, key = new_key("page", "classify")
    (tmp_path / "keys.txt").write_text(key.line)
    bundle, log = tiny_bundle(tmp_path / "b"), tmp_path / "log"
    with served(bundle, log, keys_file=str(tmp_path / "keys.txt")) as service:
        browser.get(service.url)
        _wait(browser, lambda d: d.find_element(By.ID, "key").is_displayed())
        assert browser.find_element(By.ID, "bundle-name").text == "This service needs an API key."
        _drop(browser, "r.jpg", colour_image("red"))
        browser.find_element(By.ID, "key").send_keys("croft_wrong", Keys.ENTER)
        _wait(browser, lambda d: "not known" in d.find_element(By.ID, "promise").text)
        browser.find_element(By.ID, "key").send_keys(text, Keys.ENTER)
        (card,) = _answers(browser, 1)  # what was dropped before the key was there
        assert _text(card, ".label") == "Red"
        assert not browser.find_element(By.ID, "key").is_displayed()

        browser.refresh()
        _drop(browser, "b.jpg", colour_image("blue"))
        (card,) = _answers(browser, 1)
        assert _text(card, ".label") == "Blue"
        stored = "return [{...sessionStorage}, localStorage.length, document.cookie]"
        assert browser.execute_script(stored) == [{"croft-key": text}, 0, ""]
    _log(browser, "browser")
    _log(browser, "performance")


def test_an_image_waits_when_its_key_is_withdrawn(page: Chrome) -> None:
    """A 401 to an image shows the field and loses nothing: with the next key it is answered."""
    page.execute_script(
        "sessionStorage.setItem('croft-key', 'croft_old');"
        "const real = window.fetch; let refused = 0;"
        "window.fetch = (...asked) => refused++ ? real(...asked) : Promise.resolve("
        "new Response(JSON.stringify({detail: 'withdrawn'}), {status: 401}))"
    )
    _drop(page, "r.jpg", colour_image("red"))
    _wait(page, lambda d: d.find_element(By.ID, "key").is_displayed())
    assert page.find_element(By.ID, "promise").text == "withdrawn"
    assert page.execute_script("return sessionStorage.length") == 0
    assert _text(page.find_element(By.CSS_SELECTOR, ".card.waiting"), ".file") == "r.jpg"
    page.find_element(By.ID, "key").send_keys("croft_another", Keys.ENTER)
    (card,) = _answers(page, 1)
    assert _text(card, ".label") == "Red"
    page.execute_script("sessionStorage.clear()")


def test_live_traffic_is_shown_against_what_is_expected(browser: Chrome, tmp_path: Path) -> None:
    """Nothing at first; then what was answered, beside the share that is expected of known ones."""
    with served(tiny_bundle(tmp_path / "b"), tmp_path / "log") as service:
        browser.get(service.url)
        _wait(browser, lambda d: d.find_element(By.ID, "live").text.startswith("Nothing answered"))
        for name in ("red", "green", "white"):
            _drop(browser, f"{name}.jpg", colour_image(name))
        _answers(browser, 3)
        _wait(browser, lambda d: "3 images" in d.find_element(By.ID, "live").text)
        live = browser.find_element(By.ID, "live").text.replace("\u00a0", " ")
        assert live == (
            "Refused 33.3 % of the 3 images answered since the service started; "
            "3.0 % of known images are expected."
        )


def test_another_limit_can_be_tried_with_the_keyboard(page: Chrome) -> None:
    """The slider begins at the present limit; at its end half of the known images are refused."""
    _drop(page, "w.jpg", colour_image("white"))
    _answers(page, 1)
    slider = page.find_element(By.ID, "what-if")
    _wait(page, lambda d: "1 of the 1 below" in d.find_element(By.ID, "what-if-words").text)
    assert page.find_element(By.ID, "what-if-at").text.replace("\u00a0", " ") == "3.0 %, as it is"
    slider.send_keys(Keys.HOME)
    words = page.find_element(By.ID, "what-if-words").text.replace("\u00a0", " ")
    assert words.startswith("It refuses about 0 % of known images, ")
    assert words.endswith(" and 0 of the 1 below.")
    slider.send_keys(Keys.END)
    words = page.find_element(By.ID, "what-if-words").text.replace("\u00a0", " ")
    assert words.startswith("It refuses about 49.8 % of known images, ")
    assert slider.get_attribute("aria-valuetext") == "50\u00a0%"


def test_the_keyboard_is_enough(page: Chrome) -> None:
    """Tab reaches the file chooser, and a clear mark shows where one is."""
    body = page.find_element(By.TAG_NAME, "body")
    reached = []
    for _ in range(6):
        body.send_keys(Keys.TAB)
        reached.append(page.switch_to.active_element.get_attribute("id"))
    assert "files" in reached
    page.execute_script("document.getElementById('files').focus()")
    outline = page.find_element(By.ID, "drop").value_of_css_property("outline-style")
    assert outline == "solid"


def test_nothing_is_asked_of_anybody_else(page: Chrome, url: str) -> None:
    """Both pages, with an answer on one, made requests to the service alone and no error."""
    _drop(page, "r.jpg", colour_image("red"))
    _answers(page, 1)
    page.get(f"{url}/docs")
    _wait(page, lambda d: "/classify" in d.find_element(By.ID, "doc").text)
    events = [json.loads(entry["message"])["message"] for entry in _log(page, "performance")]
    asked = {
        urlsplit(event["params"]["request"]["url"]).netloc
        for event in events
        if event["method"] == "Network.requestWillBeSent"
        and event["params"]["request"]["url"].startswith("http")
    }
    own = {host for host in asked if host.startswith("127.0.0.1:")}
    assert own
    assert asked == own
    assert _log(page, "browser") == []


def test_the_page_fits_a_phone_in_the_dark(url: str, tmp_path: Path) -> None:
    """Nothing is wider than the screen, before and after an answer; the colours are dark."""
    with chromium(tmp_path / "profile", size=PHONE, scheme="dark") as phone:
        phone.get(url)
        _drop(phone, "w.jpg", colour_image("white"))
        _answers(phone, 1)
        width = phone.execute_script("return document.documentElement.scrollWidth")
        assert width == PHONE[0]
        ground = phone.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        red, green, blue = map(int, ground.split("(")[1].split(")")[0].split(",")[:3])
        assert max(red, green, blue) < 60
