"""A Chromium for the tests of the dashboard, and the page of a module's own service in it."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Start a Chromium; without one, skip."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # an end to waiting, for a machine under heavy load
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the PATH (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *QUIET])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: "Browser", address: str) -> "Iterator[Page]":
    """Open the page; anything it complains about on the console fails the test."""
    context = browser.new_context()
    opened, complaints = context.new_page(), []
    opened.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    yield opened
    context.close()
    # A refused request is logged by the browser itself; that is the answer the test provoked.
    assert [text for text in complaints if "Failed to load resource" not in text] == []
