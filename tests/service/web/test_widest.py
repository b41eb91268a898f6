"""The dashboard of the largest model it promises, 32 experts, 12 tasks and 300 features."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.live_model import live
from tests.support.server import running

pytestmark = pytest.mark.browser
TASKS = [f"{task}{number}" for number in ("", "_1", "_2", "_3") for task in ("price", "sold", "grade")]

SEEN = "main > section:not([hidden])"
ANSWERS = {"Compare": "#compared table", "Sweep": "#swept .card"}  # what a view has once its button was pressed


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    large: dict[str, Any] = {"kind": "widest", "tasks": TASKS, "experts": 32}
    hand_model(models, "widest", **large, edit=live(**large))
    with running(models, workers="1", segments="widest=x0") as service:
        rows = [{f"x{f}": i for f in range(5)} for i in range(80)]
        body = json.dumps({"instances": rows}).encode()
        request = urllib.request.Request(f"{service.url}/v1/predict", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()
        yield service.url


def too_wide(page: Page) -> int:
    wider: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider


def test_every_view_of_the_widest_model_holds_at_every_width(page: Page, address: str) -> None:
    """Judge the whole page in its first view, then what is seen of each other one."""
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".prediction")).to_have_count(12)
    page.get_by_role("button", name="Which features").click()
    expect(page.locator(".contributions")).to_have_count(12)
    expect(page.locator(".contributions").first).to_contain_text("rest: 292 other features")
    links: list[Any] = page.locator("nav a[data-view]").all_inner_texts()
    for name in links:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.locator("main > section:not([hidden]) .card").first).to_be_visible()
        if name in ANSWERS:
            page.locator("main > section:not([hidden])").get_by_role("button", name=name, exact=True).click()
            expect(page.locator(ANSWERS[name]).first).to_be_visible()
        for width in (390, 768, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert too_wide(page) <= 0, f"{name} is too wide for {width} px"
        found = Axe().run(page, context=None if name == links[0] else SEEN).response
        assert found["passes"], name
        assert [v["id"] for v in found["violations"] if v["impact"] in ("serious", "critical")] == [], name


def test_a_table_that_is_wider_than_its_place_says_so_until_its_end(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.get_by_role("button", name="Predict").click()
    gates = page.get_by_role("group", name="Gate weights of this row")
    expect(gates).to_have_attribute("data-more", "after")
    hint = page.locator(".scroller", has=gates).locator(".more")
    expect(hint).to_be_visible()
    gates.focus()
    gates.evaluate("place => place.scrollTo({ left: place.scrollWidth })")
    expect(gates).to_have_attribute("data-more", "before")
    expect(page.get_by_role("columnheader", name="expert 31").first).to_be_in_viewport()
