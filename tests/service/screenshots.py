"""Draw the pictures of the page in docs/images:

python -m tests.service.screenshots BUNDLE IMAGE...
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.service.browser import PHONE, Scheme, chromium
from tests.service.processes import served

DESKTOP = (1200, 1290)
IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES: tuple[tuple[str, tuple[int, int], Scheme], ...] = (
    ("page-desktop-light", DESKTOP, "light"),
    ("page-desktop-dark", DESKTOP, "dark"),
    ("page-phone-light", PHONE, "light"),
    ("page-phone-dark", PHONE, "dark"),
)


def _photograph(browser: Chrome, url: str, files: list[Path], target: Path) -> None:
    browser.get(url)
    for count, file in enumerate(reversed(files), start=1):
        browser.find_element(By.ID, "files").send_keys(str(file.resolve()))
        wait = WebDriverWait(browser, 20, poll_frequency=0.05)
        wait.until(partial(_settled, count=count))
    browser.execute_script("document.activeElement.blur()")
    browser.save_screenshot(str(target))
    Image.open(target).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(target)


def _settled(browser: Chrome, *, count: int) -> bool:
    cards = browser.find_elements(By.CSS_SELECTOR, ".card:is(.known, .unknown, .error)")
    return len(cards) == count


def main() -> None:
    """Serve the bundle, drop the images, and keep what the browser shows."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the page.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("files", type=Path, nargs="+", metavar="IMAGE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(args.bundle, Path(folder) / "log") as at:
        for name, size, scheme in PICTURES:
            with chromium(Path(folder) / name, size=size, scheme=scheme) as browser:
                _photograph(browser, at.url, args.files, IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
