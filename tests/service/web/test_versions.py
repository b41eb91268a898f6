"""The dashboard's Versions tab: a shadow as it runs, and what is served changed with a key."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Dialog, Page, expect

from service.keys import line_of, new_key
from tests.support.server import running

pytestmark = pytest.mark.browser
PREDICT, ADMIN = new_key(), new_key()
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Iterator[str]:
    """Serve two versions of the same experts, the first of them pinned, to callers with keys."""
    root = tmp_path_factory.mktemp("versions")
    for version in (1, 2):
        hand_model(root / "models", "hand", version, seed=7)
    (root / "keys").write_text("\n".join([line_of("predict", "web", PREDICT), line_of("admin", "ops", ADMIN)]))
    with running(root / "models", keys_file=str(root / "keys")) as service:
        pinned = httpx.post(f"{service.url}/v1/models/hand:pin", json={"version": 1}, headers=AS_ADMIN, timeout=60)
        assert pinned.is_success
        yield service.url


def test_a_shadow_is_watched_and_promoted_with_a_key_of_an_admin(page: Page, address: str) -> None:
    page.evaluate("key => sessionStorage.setItem('mmoe-key', key)", PREDICT)
    page.goto(f"{address}/#/hand/versions")
    page.reload()
    view, asked = page.locator("#view-versions"), list[str]()

    def agree(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", agree)
    expect(view.get_by_role("row", name=re.compile("^1"))).to_contain_text("served, pinned")
    page.get_by_text("Change what is served").click()
    page.get_by_role("combobox", name="Version").select_option("2")
    page.get_by_role("button", name="Shadow it").click()
    expect(view.get_by_role("alert")).to_contain_text("admin")
    page.get_by_label("Key of an admin").fill(ADMIN)
    page.get_by_label("Share in %").fill("100")
    page.get_by_role("button", name="Shadow it").click()
    expect(page.locator("#model-state")).to_contain_text("shadow 2")
    rows = [{"age": 5 + i / 10, "colour": "red"} for i in range(100)]
    httpx.post(f"{address}/v1/predict", json={"instances": rows}, headers=AS_ADMIN)
    expect(view).to_contain_text("100 rows compared")
    found = httpx.get(f"{address}/v1/models/hand/shadow", headers=AS_ADMIN).json()
    assert found["expert_match"] == "good"
    for one in found["experts"]:
        row = view.get_by_role("row", name=re.compile(f"^expert {one['expert']} "))
        expect(row).to_contain_text(f"expert {one['shadow_expert']}")
    difference = view.get_by_role("group", name="Differences by task").get_by_role("row", name="sold")
    expect(difference).to_contain_text("0.0\u202f%")
    assert [v["id"] for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")] == []
    page.get_by_role("combobox", name="Version").select_option("2")
    page.get_by_role("button", name="Serve it").click()
    expect(page.locator("#model-state")).to_contain_text("version 2, pinned")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#model-state")).to_contain_text("version 1, pinned")
    page.get_by_label("Share in %").fill("50")
    page.get_by_role("button", name="Canary", exact=True).click()
    expect(page.locator("#model-state")).to_contain_text("canary 2 (50\u202f%)")
    expect(view.get_by_role("row", name=re.compile("^2"))).to_contain_text("canary, 50\u202f%")
    assert "Serve the version before 2 to everybody?" in asked
    assert ADMIN not in page.evaluate("JSON.stringify(sessionStorage)")
