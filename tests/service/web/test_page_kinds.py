"""The dashboard of a model with features of every kind, in a real Chromium."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.server import running

pytestmark = pytest.mark.browser

ROW: dict[str, Any] = {
    "age": 41.5,
    "user": "user 7",
    "tags": ["art", "news, old"],
    "seen": ["7", "user 8"],
    "clicked_at": "2026-11-28T18:30:05Z",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    hand_model(models, "kinds", kind="kinds")
    with running(models, workers="1") as service:
        yield service.url


def fill(page: Page) -> None:
    """Spell the row as a person does."""
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("age", exact=True).fill("41.5")
    page.get_by_label("user", exact=True).fill("user 7")
    page.get_by_label("tags", exact=True).fill("art\n\nnews, old\n")
    page.get_by_label("seen", exact=True).fill("7\nuser 8")
    page.get_by_label("clicked_at", exact=True).fill("2026-11-28T18:30:05")


def sent(page: Page) -> dict[str, Any]:
    """Press Predict; return the row that the page has sent."""
    with page.expect_request(lambda request: request.url.endswith(":predict")) as caught:
        page.get_by_role("button", name="Predict").click()
    (row,) = json.loads(caught.value.post_data or "")["instances"]
    found: dict[str, Any] = row
    return found


def paste(page: Page, text: str) -> None:
    page.get_by_text("Paste a row").click()
    page.get_by_label("JSON or CSV row").fill(text)
    page.get_by_role("button", name="Fill the form").click()


def test_a_form_spells_values_of_every_kind(page: Page, address: str) -> None:
    fill(page)
    assert sent(page) == ROW
    expect(page.locator(".prediction")).to_have_count(3)
    line = page.locator("#curl").inner_text()
    printed = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    expected = httpx.post(f"{address}/v1/models/kinds:predict", json={"instances": [ROW]}).json()
    assert json.loads(printed)["predictions"] == expected["predictions"]


def test_a_form_that_is_cleared_sends_nothing(page: Page) -> None:
    page.get_by_role("button", name="Clear").click()
    assert sent(page) == {}


def test_an_example_row_is_a_golden_row(page: Page, address: str) -> None:
    manifest = httpx.get(f"{address}/v1/models/kinds/metadata").json()
    for place, expected in enumerate(manifest["golden"]["outputs"]["price"]):
        if place:
            page.get_by_role("button", name="Example row").click()
        row = sent(page)
        answer = httpx.post(f"{address}/v1/models/kinds:predict", json={"instances": [row]}).json()
        assert answer["predictions"][0]["tasks"]["price"] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        expect(page.get_by_role("button", name="Predict")).to_be_enabled()


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROW),
        json.dumps({"instances": [ROW | {"clicked_at": 1795890605.9}]}),
        json.dumps(ROW | {"clicked_at": "2026-11-28T19:30:05.5+01:00"}),
        'age,user,tags,seen,clicked_at\n41.5,user 7,"art|news, old","7, user 8",1795890605',
        '41.5,,,,,user 7,"art|news, old","7, user 8",2026-11-28T18:30:05Z',
    ],
)
def test_pasted_rows_fill_the_form(page: Page, text: str) -> None:
    paste(page, text)
    assert sent(page) == ROW


@pytest.mark.parametrize("moment", ["2026-11-28", "2026-11-28T18:30:00", "now", 1e15])
def test_a_pasted_moment_that_the_control_cannot_show_is_told(page: Page, moment: object) -> None:
    paste(page, json.dumps({"clicked_at": moment}))
    expect(page.get_by_text("“clicked_at” is")).to_be_visible()


def test_a_refused_bag_is_told_at_its_field(page: Page) -> None:
    fill(page)
    page.get_by_label("tags", exact=True).fill("art|x")
    page.get_by_role("button", name="Predict").click()
    wrong = page.locator(".field.wrong")
    expect(wrong).to_have_count(1)
    expect(wrong).to_contain_text("contains the separator")
    expect(page.get_by_label("tags", exact=True)).to_be_focused()


def test_the_model_tab_lists_each_kind_with_its_facts(page: Page) -> None:
    page.get_by_role("link", name="Model").click()
    lines = page.get_by_role("group", name="Features").locator("tbody tr")
    expect(lines.first).to_be_visible()
    facts = dict(line.split("\t", 1) for line in lines.all_inner_texts())
    assert facts["user"] == "hashed\tany id, 50 buckets\t1.0\u202f%"
    assert facts["tags"] == "bag\tsport, news, art; 2.5 a cell, mean\t20.0\u202f%"
    assert facts["seen"] == "bag\tany values, 50 buckets; 2.5 a cell, sum; in the table of user\t20.0\u202f%"
    assert facts["clicked_at"] == "datetime\t1938-04-24 to 2033-05-18 UTC; hour, weekday\t20.0\u202f%"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_every_field_can_be_read_aloud(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    fill(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".prediction")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert Axe().run(page).violations_count == 0
