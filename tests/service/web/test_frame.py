"""The dashboard's frame in a real Chromium: addresses, panes, swaps, charts, explanations."""

import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from playwright.sync_api import Browser, Page, expect

from tests.support.json_calls import ask
from tests.support.server import running

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Path:
    """Write two models, of which `hand` has one version and is the default."""
    root = tmp_path_factory.mktemp("models")
    hand_model(root, "hand", 1)
    hand_model(root, "other", 3)
    return root


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    """Serve them, looking for new versions when told to alone."""
    with running(models, default_model="hand", workers="1", poll_interval_s="0", local_admin="true") as service:
        yield service.url


def predict(page: Page) -> None:
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".prediction")).to_have_count(3)


def test_a_reload_and_the_back_button_keep_model_view_and_window(page: Page) -> None:
    page.locator("#model-select").select_option("other")
    expect(page.locator("#model-title")).to_have_text("other")
    page.get_by_role("link", name="Traffic").click()
    page.get_by_role("button", name="last hour").click()
    expect(page).to_have_url(re.compile("#/other/traffic\\?window=1h$"))
    page.reload()
    expect(page.locator("#model-title")).to_have_text("other")
    expect(page.get_by_role("button", name="last hour")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#view-try")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("button", name="last minute")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(page.get_by_role("link", name="Try it")).to_have_attribute("aria-current", "page")


def test_the_links_of_the_tour_lead_to_the_model_that_is_open(page: Page) -> None:
    drift = page.get_by_role("region", name="Tour").get_by_role("link", name="at its drift")
    expect(drift).to_have_attribute("href", "#/hand/drift")
    page.locator("#model-select").select_option("other")
    expect(drift).to_have_attribute("href", "#/other/drift")
    drift.click()
    expect(page.locator("#view-drift")).to_be_visible()
    expect(page.locator("#model-title")).to_have_text("other")


def test_an_address_of_nothing_leads_to_the_default_model(page: Page, address: str) -> None:
    page.goto(f"{address}/#/no such/%E0%A4%A")
    page.reload()
    expect(page.locator("#model-title")).to_have_text("hand")
    expect(page).to_have_url(re.compile("#/hand/try$"))


def test_a_desktop_keeps_the_answer_beside_the_form_wherever_that_is(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 420})
    page.get_by_role("button", name="Predict").scroll_into_view_if_needed()
    predict(page)
    expect(page.locator(".prediction").first).to_be_in_viewport()
    expect(page.get_by_role("button", name="Predict")).to_be_in_viewport()
    pane = page.get_by_role("region", name="Answer")
    before = page.evaluate("scrollY")
    pane.hover()
    page.mouse.wheel(0, 300)
    expect(page.locator(".prediction").first).not_to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == before


def test_a_phone_goes_to_the_answer_with_the_focus_on_its_heading(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    predict(page)
    heading = page.get_by_role("heading", name="Predictions", exact=True)
    expect(heading).to_be_in_viewport()
    expect(heading).to_be_focused()


def test_what_training_has_not_seen_is_marked_at_its_field_and_at_the_predictions(page: Page, address: str) -> None:
    page.get_by_role("button", name="Clear").click()
    predict(page)
    expect(page.locator(".doubts")).to_have_count(0)
    feature = ask(address, "/v1/models/hand/metadata")["features"][0]
    page.get_by_label("age", exact=True).fill("900")
    page.get_by_label("colour", exact=True).select_option("another value…")
    page.get_by_label("Another value of colour").fill("pink")
    for name, words in (("age", "900 is over what training has seen"), ("colour", "“pink” is unknown")):
        expect(page.locator(".field", has=page.get_by_label(name, exact=True)).first).to_contain_text(words)
    assert feature["maximum"] < 900
    predict(page)
    notice = page.locator(".doubts")
    expect(notice).to_contain_text("age: 900 is over")
    expect(notice).to_contain_text("colour: “pink” is unknown")
    expect(page.locator(".prediction .pill")).to_have_count(3)
    page.get_by_label("age", exact=True).fill(str(feature["mean"]))
    expect(page.locator(".field", has=page.get_by_label("age", exact=True))).not_to_contain_text("training has seen")


def test_each_prediction_stands_beside_its_base_rate_and_none_is_written_in_millionths(page: Page) -> None:
    predict(page)
    expect(page.locator('.prediction[data-task="sold"] .base')).to_contain_text("base rate 40.0\u202f%")
    expect(page.locator('.prediction[data-task="price"] .base')).to_contain_text("mean in training 0.25")
    shown = page.evaluate(
        "import('./assets/format.js').then(({ probability, compact }) => "
        "[...[0, 9e-8, 0.0004, 0.062, 0.9996, 0.99999997, 1].map(probability), ...[950, 12345, 1.5e6].map(compact)])"
    )
    assert [text.replace("\u202f", " ") for text in shown] == [
        "0.0 %", "< 0.01 %", "0.04 %", "6.2 %", "99.96 %", "> 99.99 %", "100.0 %", "950", "12.3 k", "1.5 M",
    ]  # fmt: skip


def test_one_row_raises_no_verdict_and_the_instance_is_named(page: Page, address: str) -> None:
    ask(address, "/v1/models/other:predict", {"instances": [{"age": 90}]})
    page.goto(f"{address}/#/other/traffic?window=1h")
    verdict = page.locator("#traffic-verdict")
    expect(verdict).to_contain_text("Too few rows to tell: 1 of the 50")
    expect(verdict).not_to_have_class(re.compile("good"))
    expect(page.locator("#view-traffic")).not_to_contain_text("Dead:")
    instance = ask(address, "/v1/models/other/gates?window=1h")["instance"]
    expect(page.locator("#view-traffic")).to_contain_text(f"Instance {instance}")
    expect(page.locator("#view-traffic")).not_to_contain_text("All instances together")


def test_a_chart_tells_its_values_to_the_keyboard_and_the_pointer(page: Page, address: str) -> None:
    ask(address, "/v1/models/hand:predict", {"instances": [{"age": 20 + i} for i in range(60)]})
    page.goto(f"{address}/#/hand/traffic?window=1h")
    chart = page.get_by_role("group", name="Utilisation of price: values by the arrow keys")
    figure = page.locator("figure", has=chart)
    expect(chart.locator("canvas")).to_be_visible()
    report = ask(address, "/v1/models/hand/gates?window=1h")
    baseline = report["baseline"]["tasks"]["price"]["utilisation"]
    last = report["series"]["tasks"]["price"]["utilisation"][-1]
    chart.focus()
    page.keyboard.press("End")
    expect(figure.locator(".when")).to_contain_text("At now")
    for expert, value in enumerate(last):
        expect(figure.locator("li").nth(expert)).to_contain_text(f"{value:.3f} (baseline {baseline[expert]:.3f})")
    expect(figure.get_by_role("status")).to_contain_text(f"expert 0 {last[0]:.3f}")
    page.keyboard.press("ArrowLeft")
    expect(figure.locator(".when")).to_contain_text("At \N{MINUS SIGN}60 s")
    page.keyboard.press("Tab")
    expect(figure.locator(".when")).to_contain_text("Latest values; dashed: baseline")
    chart.locator(".u-over").hover(position={"x": 150, "y": 60})
    expect(figure.locator(".when")).to_contain_text("At \N{MINUS SIGN}")


def test_a_figure_explains_itself_and_leads_to_its_definition(page: Page) -> None:
    predict(page)
    page.get_by_role("button", name="Explain gate weights").click()
    box = page.get_by_role("group", name="Gate weights", exact=True)
    expect(box).to_contain_text("they sum to 1")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    page.get_by_role("button", name="Explain gate weights").press("Enter")
    box.get_by_role("link", name="Definition").click()
    expect(page.locator("#term-gate_weights")).to_be_focused()
    expect(page.locator("#term-gate_weights")).to_be_in_viewport()


def test_the_reference_begins_with_predictions_and_is_dark_where_the_system_is(browser: Browser, address: str) -> None:
    context = browser.new_context(color_scheme="dark")
    opened = context.new_page()
    opened.goto(f"{address}/docs")
    expect(opened.locator(".opblock-tag").first).to_contain_text("predictions")
    expect(opened.locator("html")).to_have_class("dark-mode")
    colour = opened.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert max(map(int, re.findall(r"\d+", colour)[:3])) < 80
    context.close()


def test_a_swap_is_told_with_what_changed_and_what_was_typed_stays(
    page: Page, address: str, models: Path, hand_model: Callable[..., Path]
) -> None:
    page.get_by_label("age", exact=True).fill("12.5")
    predict(page)
    expect(page.locator("#model-state")).to_have_text("version 1")

    def retrained(manifest: dict[str, Any]) -> None:
        manifest["tasks"][0]["metrics"]["loss"] = 0.375

    hand_model(models, "hand", 2, seed=5, edit=retrained)
    urllib.request.urlopen(f"{address}/v2/repository/models/hand/load", b"").close()
    expect(page.locator("#model-state")).to_have_text("version 2")
    expect(page.locator("#swap")).to_contain_text("Version 2 is served now, in place of 1")
    expect(page.locator("#swap")).to_contain_text("price on its test rows: loss 0.5 → 0.375.")
    expect(page.get_by_label("age", exact=True)).to_have_value("12.5")
    expect(page.locator(".stale")).to_contain_text("of the version before")
    predict(page)
    expect(page.locator("#answer")).to_contain_text("From version 2.")
    ask(address, "/v1/models/hand:predict", {"instances": [{"age": 20}] * 60})
    page.get_by_role("link", name="Traffic").click()
    chart = page.locator("figure").first
    expect(chart.locator(".when")).to_contain_text("version 2")
    page.get_by_role("link", name="Versions").click()
    table = page.get_by_role("group", name="Versions")
    expect(table.get_by_role("row", name=re.compile("^2"))).to_contain_text("served")
    expect(table.get_by_role("row", name=re.compile("^1"))).to_contain_text("loss 0.375 → 0.5")
    ask(address, "/v1/models/hand:rollback", {})
    expect(table.get_by_role("row", name=re.compile("^1"))).to_contain_text("served, pinned")
    expect(page.locator("#model-state")).to_have_text("version 1, pinned")
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.locator("#view-model")).to_contain_text("1 (served, pinned)")
