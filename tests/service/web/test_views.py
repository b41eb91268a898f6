"""Compare, Sweep, Experts, Drift, Segments and Quality in a real Chromium: the API's numbers."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from playwright.sync_api import Locator, Page, expect

from tests.service.http.routes.test_quality import QUALITY, TASK
from tests.support.json_calls import ask
from tests.support.live_model import live
from tests.support.metrics import awaited
from tests.support.server import running

pytestmark = pytest.mark.browser

NARROW, MINUS = "\N{NARROW NO-BREAK SPACE}", "\N{MINUS SIGN}"
SHIFTED = [{"age": 9.0 + row % 5, "colour": "red", "city": ["Paris", "Oslo"][row % 2]} for row in range(300)]


def auc(value: float, low: float, high: float) -> dict[str, Any]:
    return {"auc": {"value": value, "low": low, "high": high}}


PARTS = {
    "segments": [
        {"feature": "colour", "value": "red", "rows": 200, "metrics": auc(0.6, 0.55, 0.65)},
        {"feature": "colour", "value": "blue", "rows": 150, "metrics": auc(0.9, 0.85, 0.95)},
        {"feature": "colour", "value": "green", "rows": 3, "metrics": None},
    ],
    "by_time": [{"from_utc": f"2026-11-{day}", "rows": day, "metrics": auc(0.7, 0.6, 0.8)} for day in (27, 28)],
    "by_expert": [
        {
            "expert": expert,
            "rows": 60 + expert,
            "metrics": auc(0.8 + expert / 100, 0.7, 0.95),
            "mean_weight_right": 0.4,
            "mean_weight_wrong": 0.2,
        }
        for expert in range(4)
    ],
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Iterator[str]:
    """Serve two versions with a baseline, judged by labels, to which red rows have come."""
    home = tmp_path_factory.mktemp("views")
    for version, seed in ((1, 5), (2, 0)):
        hand_model(home / "models", "hand", version, seed=seed, edit=live(seed=seed))
    (home / "quality/hand").mkdir(parents=True)
    told = {**QUALITY, "versions": [{**QUALITY["versions"][0], "tasks": [{**TASK, **PARTS}]}]}
    (home / "quality/hand/quality.json").write_text(json.dumps(told))
    settings = {"quality": str(home / "quality"), "segments": "hand=colour+age", "loaded_versions": "2"}
    with running(home / "models", workers="1", **settings) as service:
        for start in range(0, len(SHIFTED), 50):
            ask(service.url, "/v1/models/hand:predict", {"instances": SHIFTED[start : start + 50]})
        awaited(lambda: ask(service.url, "/v1/models/hand/drift?window=1h")["rows"], len(SHIFTED))
        yield service.url


def opened(page: Page, address: str, view: str) -> Locator:
    """Go to a view, with a query behind it."""
    page.goto(f"{address}/#/hand/{view}")
    return page.locator(f"#view-{view.split('?')[0]}")


def number(text: str) -> float:
    """Read a number as the page writes it."""
    plain = text.replace(MINUS, "-").replace(",", "").replace(NARROW, " ").split()[0].rstrip("%")
    return float(plain)


def lines(view: Locator, caption: str | re.Pattern[str]) -> list[list[str]]:
    """Read a table as text, heading cells too."""
    table = view.get_by_role("table", name=caption)
    expect(table).to_be_visible()
    return [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]


def test_two_rows_are_compared_as_the_api_compares_them(page: Page, address: str) -> None:
    view = opened(page, address, "compare")
    view.get_by_label("JSON or CSV of row A").locator("xpath=ancestor::details").locator("summary").click()
    view.get_by_label("JSON or CSV of row A").fill('{"age": 9, "colour": "red"}')
    view.get_by_role("button", name="Use as row A").click()
    view.get_by_label("JSON or CSV of row B").locator("xpath=ancestor::details").locator("summary").click()
    view.get_by_label("JSON or CSV of row B").fill('{"age": 9, "colour": "red"}')
    view.get_by_role("button", name="Use as row B").click()
    expect(view).to_contain_text("The same as row A.")
    view.get_by_label("age", exact=True).fill("14")
    expect(view).to_contain_text("Differs from row A in age.")
    with page.expect_request(lambda request: request.url.endswith(":gates")) as caught:
        view.get_by_role("button", name="Compare").click()
    body = json.loads(caught.value.post_data or "")
    assert body["instances"] == [{"age": 9, "colour": "red"}, {"age": 14, "colour": "red"}]
    one, other = ask(address, "/v1/models/hand:gates", body)["rows"]
    price = lines(view, "Predictions of both rows")[0]
    expected = [one["predictions"]["price"], other["predictions"]["price"]]
    assert [number(text) for text in price[1:3]] == pytest.approx(expected, rel=1e-3)
    assert number(price[3]) == pytest.approx(expected[1] - expected[0], rel=1e-2)
    gates = lines(view, re.compile("^Difference"))
    apart = np.array(other["tasks"]["price"]["gate_weights"]) - one["tasks"]["price"]["gate_weights"]
    assert [number(text) for text in gates[0][1:]] == pytest.approx(apart.tolist(), abs=1e-3)
    (shown,) = lines(view, re.compile("^Change of contributions"))
    assert shown[0] == "age"
    task, expert = re.search(
        r"expert (\d) for (\w+)", view.locator("caption", has_text="Change of").inner_text()
    ).groups()[::-1]  # type: ignore[union-attr]
    change = other["tasks"][task]["contributions"][int(expert)]["features"][0]["change"]
    assert number(shown[3]) == pytest.approx(change, rel=1e-2, abs=1e-3)


def test_a_sweep_is_one_request_and_its_curves_are_the_answers(page: Page, address: str) -> None:
    view = opened(page, address, "sweep")
    with page.expect_request(lambda request: request.url.endswith(":gates")) as caught:
        view.get_by_role("button", name="Sweep", exact=True).click()
    rows = json.loads(caught.value.post_data or "")["instances"]
    assert 41 <= len(rows) <= 42
    assert [row["age"] for row in rows] == sorted(row["age"] for row in rows)
    assert len({json.dumps({**row, "age": None}) for row in rows}) == 1, "one feature alone differs"
    answers = ask(address, "/v1/models/hand:gates", {"instances": rows, "predictions": True})["rows"]
    expect(view.locator("svg.curves")).to_have_count(6)
    slider = view.get_by_role("slider", name="Value of age")
    slider.focus()
    slider.press("Home")
    read = lines(view, "Predictions and gates at the value")
    assert number(read[0][1]) == pytest.approx(answers[0]["predictions"]["price"], rel=1e-3)
    assert number(read[1][1]) == pytest.approx(100 * answers[0]["predictions"]["sold"], abs=0.06)
    weights = answers[0]["tasks"]["price"]["gate_weights"]
    best = max(range(4), key=weights.__getitem__)
    assert read[0][2].startswith(f"expert {best} {weights[best]:.3f}")
    slider.press("ArrowRight")
    read = lines(view, "Predictions and gates at the value")
    assert number(read[0][1]) == pytest.approx(answers[1]["predictions"]["price"], rel=1e-3)
    view.get_by_text("Predictions at every value").click()
    assert [number(row[1]) for row in lines(view, "Predictions over age")] == pytest.approx(
        [answer["predictions"]["price"] for answer in answers], rel=1e-3, abs=1e-4
    )


def test_a_category_is_swept_by_its_values_and_a_wrong_range_is_told(page: Page, address: str) -> None:
    view = opened(page, address, "sweep?feature=colour")
    found = {row[0].removesuffix(" (the row)"): row for row in lines(view, "Predictions by colour")}
    assert {"red", "green", "blue", "missing"} <= set(found)
    view.get_by_label("Feature", exact=True).select_option("age")
    view.get_by_label("from").fill("30")
    view.get_by_label("to", exact=True).fill("20")
    view.get_by_role("button", name="Sweep", exact=True).click()
    expect(view.get_by_role("alert")).to_contain_text("expected two numbers, the smaller first")


def test_experts_are_what_the_manifest_and_the_labels_say(page: Page, address: str) -> None:
    view = opened(page, address, "experts?expert=2")
    manifest = ask(address, "/v1/models/hand/metadata")
    expect(view.locator('[data-expert="2"] summary')).to_be_focused()
    line = view.get_by_role("table", name="What expert 2 does for each task").locator("tr", has_text="sold")
    expect(line.locator("th, td").nth(2)).to_contain_text(re.compile(r"\d"))
    expect(line.locator("th, td").nth(5)).to_contain_text("AUC 0.82 (0.7 to 0.95)")
    sold = line.locator("th, td").all_inner_texts()
    assert number(sold[1]) == pytest.approx(manifest["gates"]["tasks"]["sold"]["utilisation"][2], abs=6e-4)
    live_now = ask(address, "/v1/models/hand/gates?window=1h")["tasks"]["sold"]["utilisation"][2]
    assert number(sold[2]) == pytest.approx(live_now, abs=6e-4)
    cell = manifest["baseline"]["raising"]["sold"][2][0]
    assert cell["feature"] in sold[3]
    assert f"log loss +0.0{manifest['baseline']['without']['sold'][2]['loss'] * 100:.0f}" in sold[4]


def test_drift_names_what_moved_and_shows_both_distributions(page: Page, address: str) -> None:
    view = opened(page, address, "drift?window=1h")
    expect(view).to_contain_text("300 rows in the last hour")
    answer = ask(address, "/v1/models/hand/drift?window=1h&cells=all")
    names = [node.get_attribute("data-feature") for node in view.locator("#drift-features details").all()]
    assert names == list(answer["features"])
    colour = view.locator('[data-feature="colour"]')
    index = answer["features"]["colour"]["population_stability_index"]
    assert number(re.search(r"stability index (\S+)", colour.inner_text())[1]) == pytest.approx(index, rel=1e-3)  # type: ignore[index]
    colour.locator("summary").click()
    cells = {row[0]: row for row in lines(colour, re.compile("^Distribution of colour"))}
    values = ask(address, "/v1/models/hand/metadata")["baseline"]["features"][3]["values"]
    shares = answer["features"]["colour"]["cells"]
    for place, value in enumerate(values):
        if value in cells:
            shown = [number(text) / 100 for text in cells[value][1:3]]
            assert shown == pytest.approx([shares["baseline"][place], shares["now"][place]], abs=6e-4)
    assert cells["red"][2].startswith("100")
    stable = next((name for name, found in answer["features"].items() if found["level"] == "stable"), None)
    if stable is not None:
        view.locator(f'[data-feature="{stable}"] summary').click()
        assert lines(view.locator(f'[data-feature="{stable}"]'), re.compile(f"^Distribution of {stable}"))


def test_what_happened_is_answered_in_four_sentences(page: Page, address: str) -> None:
    view = opened(page, address, "drift?window=1h")
    drift, gates = (ask(address, f"/v1/models/hand/{what}?window=1h") for what in ("drift", "gates"))
    moved = [task for task, gate in drift["gates"].items() if gate["because"]]
    assert "sold" in moved
    expect(view.locator(".finding")).to_have_count(len(moved))
    sold, because = view.locator('.finding[data-task="sold"]'), drift["gates"]["sold"]["because"]
    now, then = (np.array(of["tasks"]["sold"]["utilisation"]) for of in (gates, gates["baseline"]))
    top = int((now - then).argmax())
    expect(sold).to_contain_text(f"expert {top} ({then[top]:.3f} → {now[top]:.3f})")
    expect(sold).to_contain_text(f"{because[0]['feature']} moves {because[0]['moved_weight']:.3f} of the weight")
    listed = [cause["feature"] for cause in because[:3] if cause["moved_weight"] >= 0.01]
    if "colour" in listed:
        expect(sold).to_contain_text("colour = red: worse than test rows AUC 0.6 (0.55 to 0.65) over 200 labelled rows")
    text, apart = sold.inner_text(), drift["gates"]["sold"]["jensen_shannon"]
    for cause in because[:3]:
        if cause["moved_weight"] >= 0.01 and cause["jensen_shannon_without"] < 0.8 * apart:
            left = re.search(rf"{cause['feature']} as in training: .* \(divergence (\S+) in", text)
            assert left
            assert number(left[1]) == pytest.approx(cause["jensen_shannon_without"], rel=1e-2, abs=1e-5)
    view.get_by_label("Ranked by").select_option("sold")
    first = view.locator("#drift-features details").first
    expect(first).to_have_attribute("data-feature", because[0]["feature"])


def test_segments_are_those_of_the_api(page: Page, address: str) -> None:
    view = opened(page, address, "segments")
    view.get_by_label("By", exact=True).select_option("colour")
    view.get_by_label("Window").select_option("1h")
    view.get_by_label("Gate of", exact=True).select_option("sold")
    expect(view.get_by_role("table", name=re.compile("Utilisation for sold"))).to_be_visible()
    expect(view.get_by_role("table", name="Rows and mean predictions by segment").locator("tbody tr")).to_have_count(1)
    (segment,) = ask(address, "/v1/models/hand/segments?feature=colour&window=1h")["segments"]
    (row,) = lines(view, "Rows and mean predictions by segment")
    assert row[:3] == ["red", "300", f"100.0{NARROW}%"]
    assert number(row[4]) == pytest.approx(segment["predictions"]["price"], rel=1e-3)
    used = [number(text) for text in lines(view, re.compile("^Utilisation for sold"))[1][1:]]
    assert used == pytest.approx(segment["tasks"]["sold"]["utilisation"], abs=6e-4)


def test_quality_tells_verdicts_by_task_segment_expert_and_time(page: Page, address: str) -> None:
    view = opened(page, address, "quality")
    (verdict,) = lines(view, "Verdict of each task")
    assert verdict[:6] == ["sold", "worse than test rows", "AUC", "0.7 (0.6 to 0.8)", "0.9", f"8 (80{NARROW}%)"]
    segments = lines(view, "sold by segment")
    assert [row[0] for row in segments] == ["colour = red", "colour = blue", "colour = green"]
    assert [row[1] for row in segments] == ["worse than test rows", "as on test rows", "too few rows"]
    assert segments[0][2:4] == ["200", "0.6 (0.55 to 0.65)"]
    assert [row[0] for row in lines(view, "sold over time")] == ["2026-11-28", "2026-11-27"]
    assert len(lines(view, "sold by the expert of the largest weight")) == 4


def test_the_tour_is_shown_once_and_comes_back_when_it_is_asked_for(page: Page, address: str) -> None:
    tour = page.get_by_role("region", name="Tour")
    expect(tour.get_by_role("listitem")).to_have_count(4)
    page.get_by_role("button", name="Close the tour").click()
    expect(tour).to_be_hidden()
    page.reload()
    expect(page.locator("#view-try")).to_be_visible()
    expect(tour).to_be_hidden()
    page.get_by_role("button", name="Tour", exact=True).click()
    tour.get_by_role("link", name="at its drift").click()
    expect(page.locator("#view-drift")).to_be_visible()
