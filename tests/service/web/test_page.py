"""The dashboard in a real Chromium, against a real service with a model whose answers are
known.
"""

import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from service.keys import line_of, new_key
from tests.support.json_calls import ask
from tests.support.server import running

MINUS = "\N{MINUS SIGN}"  # as the page writes it

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Iterator[str]:
    """Serve two hand-made models, one without gates.

    The default has both kinds of feature and all kinds of task.
    """
    models = tmp_path_factory.mktemp("models")
    hand_model(models, "hand", 1)
    hand_model(models, "plain", 1, kind="plain")
    with running(models, default_model="hand", workers="1") as service:
        yield service.url


def fill(page: Page) -> dict[str, Any]:
    """Spell a row as a person does: type numbers, choose values, leave the rest missing."""
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("age", exact=True).fill("41.5")
    page.get_by_label("balance", exact=True).fill("-3e2")
    page.get_by_label("colour", exact=True).select_option("green")
    page.get_by_label("city", exact=True).select_option("another value…")
    page.get_by_label("Another value of city").fill("Narvik")
    return {"age": 41.5, "balance": -300, "colour": "green", "city": "Narvik"}


def cells(page: Page, caption: str) -> list[list[str]]:
    """Read a heatmap as text."""
    table = page.get_by_role("table", name=re.compile(caption))
    return [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]


def signed(cell: Locator) -> float:
    """Read a number as the page writes it."""
    return float(cell.inner_text().replace(MINUS, "-").replace(",", ""))


def test_a_filled_form_shows_what_the_api_answers(page: Page, address: str) -> None:
    row = fill(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".prediction")).to_have_count(3)
    answer = ask(address, "/v1/models/hand:predict", {"instances": [row]})["predictions"][0]
    sold = page.locator('.prediction[data-task="sold"] .value').inner_text()
    assert float(sold.split()[0]) == pytest.approx(100 * answer["tasks"]["sold"], abs=0.051)
    price = page.locator('.prediction[data-task="price"] .value').inner_text()
    assert float(price.replace(",", "").replace(MINUS, "-")) == pytest.approx(answer["tasks"]["price"], rel=1e-3)
    grade = page.locator('.prediction[data-task="grade"] .value').inner_text()
    classes = ["low", "middle", "high"]
    assert grade == classes[answer["tasks"]["grade"].index(max(answer["tasks"]["grade"]))]
    shown = [[float(text) for text in line] for line in cells(page, "Gate weights of this row")]
    for line, weights in zip(shown, answer["gate_weights"].values(), strict=True):
        assert line == pytest.approx(weights, abs=0.00051)
        assert sum(line) == pytest.approx(1, abs=0.01)


def test_the_shown_curl_line_gives_the_same_answer(page: Page, address: str) -> None:
    row = fill(page)
    page.get_by_role("button", name="Predict").click()
    line = page.locator("#curl").inner_text()
    printed = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    expected = ask(address, "/v1/models/hand:predict", {"instances": [row]})
    assert json.loads(printed)["predictions"] == expected["predictions"]


def test_the_shown_lines_of_python_give_the_same_answer(page: Page, address: str) -> None:
    row = fill(page)
    page.get_by_role("button", name="Predict").click()
    scope: dict[str, Any] = {}
    exec(page.locator("#python").inner_text(), scope)
    (expected,) = ask(address, "/v1/models/hand:predict", {"instances": [row]})["predictions"]
    for task, value in expected["tasks"].items():
        assert scope["answer"].tasks[task][0] == pytest.approx(value)
    assert scope["answer"].gate_weights["sold"][0] == pytest.approx(expected["gate_weights"]["sold"])


def test_contributions_and_ablation_come_on_demand_and_agree_with_the_api(page: Page, address: str) -> None:
    row = fill(page)
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("button", name="Which features").click()
    options = {"instances": [row], "contributions": True, "ablation": True}
    tasks = ask(address, "/v1/models/hand:gates", options)["rows"][0]["tasks"]
    expect(page.locator(".contributions")).to_have_count(3)
    block = page.locator('.contribution-block[data-task="price"]')
    for expert, entry in enumerate(tasks["price"]["contributions"]):
        block.get_by_label("Towards").select_option(str(expert))
        expect(block.get_by_role("table", name=f"expert {expert}")).to_be_visible()
        lines = {
            line.locator("th").inner_text(): signed(line.locator("td").first) for line in block.locator("tr").all()
        }
        written = 0.006 * max(map(abs, lines.values()))  # three digits of the largest
        for feature in entry["features"]:
            assert lines[feature["feature"]] == pytest.approx(feature["centred"], abs=written)
        total = lines.pop("sum: logit over the mean of all experts")
        mean = sum(other["logit"] for other in tasks["price"]["contributions"]) / 4
        assert total == pytest.approx(entry["logit"] - mean, abs=written)
        assert sum(lines.values()) == pytest.approx(total, abs=written * len(lines))
    page.get_by_role("button", name="What if an expert").click()
    expect(page.get_by_role("table", name="Change of each prediction")).to_be_visible()
    shown = page.get_by_role("table", name="Change of each prediction").locator("tbody tr").all()
    moves = [signed(cell) for cell in shown[0].locator("td").all()]
    assert moves == pytest.approx(tasks["price"]["ablation"], abs=0.006 * max(map(abs, tasks["price"]["ablation"])))
    points = [signed(cell) for cell in shown[1].locator("td").all()]
    assert points == pytest.approx([100 * move for move in tasks["sold"]["ablation"]], abs=max(map(abs, points)) / 99)


def test_wrong_input_shows_the_message_of_the_api_at_its_field(page: Page, address: str) -> None:
    page.get_by_label("age", exact=True).fill("old")
    page.get_by_role("button", name="Predict").click()
    wrong = page.locator(".field.wrong")
    expect(wrong).to_have_count(1)
    expect(wrong).to_contain_text("age")
    request = urllib.request.Request(
        f"{address}/v1/predict", b'{"instances": [{"age": "old"}]}', {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as answer:
        expect(wrong).to_contain_text(json.load(answer)["errors"][0]["message"])
    page.get_by_label("age", exact=True).fill("40")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".prediction")).to_have_count(3)
    expect(wrong).to_have_count(0)


@pytest.mark.parametrize(
    "text",
    [
        '{"age": 40, "colour": "red"}',
        '{"instances": [{"age": 40, "colour": "red"}]}',
        '[40, null, null, "red", null]',
        "age,colour\n40,red",
        '40,,,"red",',
    ],
)
def test_a_pasted_row_fills_the_form(page: Page, text: str) -> None:
    page.get_by_text("Paste a row").click()
    page.get_by_label("JSON or CSV row").fill(text)
    page.get_by_role("button", name="Fill the form").click()
    expect(page.get_by_label("age", exact=True)).to_have_value("40")
    expect(page.get_by_label("height", exact=True)).to_have_value("")
    expect(page.get_by_label("colour", exact=True)).to_have_value("red")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "Nothing was pasted"), ("{", "not valid JSON"), ("1,2", "2 values"), ('{"agee": 1}', "no feature “agee”")],
)
def test_a_pasted_row_that_cannot_be_read_is_explained(page: Page, text: str, sentence: str) -> None:
    page.get_by_text("Paste a row").click()
    page.get_by_label("JSON or CSV row").fill(text)
    page.get_by_role("button", name="Fill the form").click()
    expect(page.locator("details .wrong-text")).to_contain_text(sentence)


def test_traffic_appears_by_itself_and_agrees_with_the_api(page: Page, address: str) -> None:
    page.get_by_role("link", name="Traffic").click()
    before = ask(address, "/v1/models/hand/gates?window=1h")["rows"]
    rows = [{"age": 20 + i, "colour": "blue"} for i in range(40)]
    page.get_by_role("button", name="last hour").click()
    ask(address, "/v1/models/hand:predict", {"instances": rows})
    expect(page.locator("#view-traffic")).to_contain_text(f"{before + 40} rows in the last hour")
    report = ask(address, "/v1/models/hand/gates?window=1h")
    shown = [[float(text) for text in line] for line in cells(page, "^Now$")[:3]]
    for line, task in zip(shown, report["tasks"].values(), strict=True):
        assert line == pytest.approx(task["utilisation"], abs=0.00051)


def test_drift_names_the_expert_that_took_over_and_dead_experts_are_named(page: Page, address: str) -> None:
    ask(address, "/v1/models/hand:predict", {"instances": [{"age": 90, "height": 1, "colour": "blue"}] * 600})
    page.get_by_role("link", name="Traffic").click()
    page.get_by_role("button", name="last hour").click()
    drift = page.get_by_role("group", name="Drift per task")
    expect(drift).to_be_visible()
    expect(page.locator("#view-traffic")).to_contain_text("in the last hour")
    report = ask(address, "/v1/models/hand/gates?window=1h")
    words = {"moderate": "moderate drift", "major": "major drift", "stable": "stable"}
    for name, task in report["tasks"].items():
        then = report["baseline"]["tasks"][name]["utilisation"]
        most = max(range(len(then)), key=lambda e: task["utilisation"][e] - then[e])
        line = drift.get_by_role("row", name=name)
        expect(line).to_contain_text(words[task["drift"]["level"]])
        expect(line).to_contain_text(f"expert {most}: {then[most]:.3f} → {task['utilisation'][most]:.3f}")
    verdict = page.locator("#traffic-verdict")
    assert "major" in {task["drift"]["level"] for task in report["tasks"].values()}
    expect(verdict).to_contain_text("(major)")
    for expert in report["dead_experts"]:
        expect(verdict).to_contain_text(f"expert {expert}")


def test_a_number_is_never_shown_as_a_signed_zero(page: Page) -> None:
    shown = page.evaluate(
        "import('./assets/format.js').then(({ number, signed }) => "
        "[signed(0), signed(-0), signed(-2.5e-9), number(-0.0001234), number(-1234.5), number(null)])"
    )
    minus = [
        f"{MINUS}2.5\u202f\N{MULTIPLICATION SIGN}\u202f10⁻⁹",
        *(text.replace("-", MINUS) for text in ("-0.0001234", "-1,235")),
    ]
    assert shown[:2] == ["0", "0"]
    assert shown[2:5] == minus
    assert shown[5] == "\N{EN DASH}"


def test_a_service_that_is_gone_is_said_and_the_last_figures_stay(page: Page, address: str) -> None:
    ask(address, "/v1/models/hand:predict", {"instances": [{"age": 30}]})
    page.get_by_role("link", name="Traffic").click()
    expect(page.get_by_role("table", name="Now").first).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
    expect(page.get_by_role("table", name="Now").first).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_role("alert").filter(has_text="does not answer")).to_have_count(0)


def test_a_model_without_gates_predicts_and_says_that_there_is_nothing_to_inspect(page: Page) -> None:
    page.locator("#model-select").select_option("plain")
    expect(page.locator("#model-title")).to_have_text("plain")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".prediction")).to_have_count(3)
    expect(page.get_by_role("table", name="Gate weights of this row")).to_have_count(0)
    page.get_by_role("link", name="Traffic").click()
    expect(page.locator("#view-traffic")).to_contain_text("no gates")


def test_the_model_view_tells_origin_metrics_and_features(page: Page, address: str) -> None:
    page.get_by_role("link", name="Model").click()
    view = page.locator("#view-model")
    manifest = ask(address, "/v1/models/hand/metadata")
    for name in [*(f["name"] for f in manifest["features"]), *(t["name"] for t in manifest["tasks"])]:
        expect(view).to_contain_text(name)
    expect(view).to_contain_text("MMoE")


def test_the_page_may_load_from_its_own_service_alone(address: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept": "text/html"})) as answer:
        policy, text = answer.headers["content-security-policy"], answer.read().decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=\"(https?:)?//", text)


def test_the_api_reference_is_drawn_without_a_network_and_names_the_model_s_features(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="API reference").click()
    expect(page.get_by_role("heading", name="mmoe-serve")).to_be_visible()
    page.get_by_text("/v1/models/hand:predict", exact=False).first.click()
    expect(page.get_by_text("colour").first).to_be_visible()
    assert [url for url in asked if not url.startswith((address, "data:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_serious_accessibility_fault_and_nothing_sticks_out(
    browser: Browser, address: str, scheme: Any, width: int
) -> None:
    ask(address, "/v1/models/hand:predict", {"instances": [{"age": 20 + i} for i in range(300)]})
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    opened = context.new_page()
    opened.goto(address)
    opened.get_by_role("button", name="Predict").click()
    opened.get_by_role("button", name="Which features").click()
    expect(opened.locator(".contributions").first).to_be_visible()
    for view in ("Try it", "Traffic", "Versions", "Model", "Glossary"):
        opened.get_by_role("link", name=view, exact=True).click()
        expect(opened.locator("main section:not([hidden]) .card").first).to_be_visible()
        faults = [v for v in Axe().run(opened).response["violations"] if v["impact"] in ("serious", "critical")]
        assert faults == [], f"{view}: {[(v['id'], [n['html'] for n in v['nodes']]) for v in faults]}"
        hidden = opened.evaluate("(nav => nav.scrollWidth - nav.clientWidth)(document.querySelector('nav'))")
        assert hidden <= 0, f"{hidden} px of the links are out of sight"
        wider = opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{view} is {wider} px wider than the window"
    context.close()


@pytest.fixture(scope="module")
def locked(
    tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]
) -> Iterator[tuple[str, str, Path]]:
    """Serve a model to callers with a key; give the address, the key and the file of keys."""
    root = tmp_path_factory.mktemp("locked")
    hand_model(root / "models", "hand", 1)
    key, file = new_key(), root / "keys"
    file.write_text(line_of("predict", "web", key))
    with running(root / "models", keys_file=str(file)) as service:
        yield service.url, key, file


def test_with_keys_the_page_asks_for_one_and_then_does_all(browser: Browser, locked: tuple[str, str, Path]) -> None:
    address, key, _ = locked
    opened = browser.new_page()
    opened.goto(address)
    field = opened.get_by_label("API key", exact=True).and_(opened.locator("input"))
    expect(field).to_be_focused()
    expect(opened.locator("#view-try")).to_be_hidden()
    field.fill("mmoe_wrong")
    opened.get_by_role("button", name="Use this key").click()
    expect(opened.get_by_role("alert")).to_have_text("The service does not know this key.")
    field.fill("no key at all")
    opened.get_by_role("button", name="Use this key").click()
    expect(opened.get_by_role("alert")).to_contain_text("no blanks")
    faults = [v for v in Axe().run(opened).response["violations"] if v["impact"] in ("serious", "critical")]
    assert faults == []
    field.fill(key)
    field.press("Enter")
    opened.get_by_role("button", name="Predict").click()
    expect(opened.locator(".prediction")).to_have_count(3)
    expect(opened.locator("#curl")).to_contain_text("$MMOE_KEY")
    assert key not in opened.content()
    opened.get_by_role("link", name="Traffic").click()
    expect(opened.locator("#view-traffic .card").first).to_be_visible()
    opened.get_by_role("link", name="API reference").click()
    expect(opened.get_by_role("button", name="Authorize")).to_be_visible()
    expect(opened.get_by_text("/v1/models/hand:predict").first).to_be_visible()
    opened.go_back()
    opened.get_by_role("button", name="Forget the key").click()
    expect(field).to_be_visible()
    opened.close()


def test_a_key_that_leaves_is_asked_for_again(browser: Browser, locked: tuple[str, str, Path]) -> None:
    address, key, file = locked
    opened = browser.new_page()
    opened.goto(address)
    opened.evaluate("key => sessionStorage.setItem('mmoe-key', key)", key)
    opened.reload()
    opened.get_by_role("link", name="Traffic").click()
    expect(opened.locator("#view-traffic .card").first).to_be_visible()
    kept = file.read_text()
    file.write_text(line_of("predict", "web", new_key()))
    try:
        expect(opened.get_by_role("alert")).to_have_text("The service does not know this key.")
        expect(opened.locator("#view-traffic")).to_be_hidden()
    finally:
        file.write_text(kept)
        opened.close()
