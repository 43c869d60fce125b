"""The report in a real browser: phone and desk, light and dark."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from tests.training.evaluations import colour_evaluation
from training.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a small evaluation."""
    root = tmp_path_factory.mktemp("page")
    bundle, evaluation = colour_evaluation(root)
    return write_report(
        root / "out", bundle=bundle, evaluation=evaluation, data_report=["a long line " * 30]
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Return a headless Chromium that logs what a page complains about."""
    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={profile}"),
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options)
        try:
            yield driver
        finally:
            driver.quit()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_its_pictures_follow_the_scheme(
    browser: webdriver.Chrome, page: Path, width: int, scheme: str
) -> None:
    """No sideways scrolling, nothing blocked or missing, and ink that contrasts with the paper."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})

    browser.get(page.as_uri())

    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    broken = "return [...document.images].filter(i => !i.naturalWidth).length"
    assert browser.execute_script(broken) == 0
    assert browser.execute_script("return document.images.length") > 10
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    ink, paper = browser.execute_script(
        "const luma = c => c.match(/\\d+/g).slice(0, 3).reduce((sum, x) => sum + +x, 0) / 3;"
        "const text = document.querySelector('figure svg text');"
        "return [luma(getComputedStyle(text).fill),"
        "        luma(getComputedStyle(document.body).backgroundColor)]"
    )
    assert (paper > 200 > 100 > ink) if scheme == "light" else (ink > 200 > 100 > paper)
