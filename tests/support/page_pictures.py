"""Pictures of the README: python -m tests.support.page_pictures DATA DIRECTORY.

DATA holds census/. The census is trained, served and shifted, and the dashboard photographed.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect, sync_playwright

from tests.service.web.conftest import CHROMIUM, QUIET
from tests.support.shifted_census import MODEL, SEGMENT, story, trained, with_late_segment

WIDTH, HEIGHT = 1280, 1000
expect.set_options(timeout=60_000)


def photograph(page: Page, url: str, directory: Path) -> None:
    """Take a picture of each view that the README shows."""
    page.goto(f"{url}/#/{MODEL}/drift")
    expect(page.get_by_text("What would bring it back?").first).to_be_visible()
    page.get_by_role("button", name="Close the tour").click()
    expect(page.locator(".finding").first).to_be_visible()
    page.screenshot(path=directory / "drift.png")
    page.goto(f"{url}/#/{MODEL}/try")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("button", name="Which features").click()
    expect(page.locator(".contributions").first).to_be_visible()
    page.screenshot(path=directory / "try.png")
    page.goto(f"{url}/#/{MODEL}/experts")
    expect(page.locator("#experts details").first).to_be_visible()
    page.screenshot(path=directory / "experts.png")
    page.goto(f"{url}/#/{MODEL}/quality?feature={SEGMENT[0]}")
    expect(page.get_by_role("table", name="Verdict of each task")).to_be_visible()
    page.screenshot(path=directory / "quality.png")


def main(data: Path, directory: Path) -> None:
    """Make the pictures."""
    os.environ["MMOE_DATA"] = str(data)
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        home = Path(name)
        lines = with_late_segment(trained(data, home / "models", epochs=2))
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *QUIET])
        with story(home, home / "models", lines) as told:
            page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            photograph(page, told.service.url, directory)
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
