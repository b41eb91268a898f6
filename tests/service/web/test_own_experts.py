"""The dashboard of a CGC: experts of one task's own are told from shared ones."""

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")
import polars as pl
from playwright.sync_api import Page, expect

from tests.support.made_models import make
from tests.support.server import running

pytestmark = pytest.mark.browser
TASKS = [{"name": name, "column": name, "kind": "regression"} for name in ("price", "weight")]
NAMES = ["expert 0 (shared)", "expert 1 (of price)", "expert 2 (of weight)"]
NUMBER, NONE = re.compile(r"\d"), "\N{EN DASH}"  # as the page writes them


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    folder = models / "apart" / "1"
    folder.mkdir(parents=True)
    frame = pl.DataFrame(
        {name: [float(row * step % 17) for row in range(60)] for name, step in zip("xyz", (1, 3, 5), strict=True)}
    )
    model = {"architecture": "cgc", "experts": 1, "own_experts": 1}
    make(folder, frame.rename({"y": "price", "z": "weight"}), features={"numeric": ["x"]}, tasks=TASKS, model=model)
    with running(models, workers="1") as service:
        yield service.url


def test_experts_of_one_task_are_told_from_shared_ones(page: Page, address: str) -> None:
    page.goto(f"{address}/#/apart/experts")
    shares = page.get_by_role("table", name="Share of each task's work by expert")
    expect(shares.get_by_role("columnheader")).to_have_text(NAMES)
    expect(shares.locator("tbody tr").nth(1).locator("td")).to_have_text([NUMBER, NONE, NUMBER])
    expect(page.locator("#experts h2")).to_have_text(NAMES)
    of_weight = page.get_by_role("table", name="What expert 2 (of weight) does").locator("tbody tr")
    expect(of_weight.nth(0)).to_contain_text("not seen by this task")
    page.get_by_role("link", name="Try it").click()
    page.get_by_role("button", name="Predict").click()
    gates = page.get_by_role("table", name="Gate weights of this row").locator("tbody tr")
    expect(gates.nth(0).locator("td")).to_have_text([NUMBER, NUMBER, NONE])
    page.get_by_role("button", name="Which features").click()
    towards = page.locator('.contribution-block[data-task="price"] option')
    expect(towards).to_have_text([re.compile(re.escape(name)) for name in NAMES[:2]])
    page.get_by_role("button", name="What if an expert").click()
    without = page.get_by_role("table", name="without the expert").locator("tbody tr")
    expect(without.nth(1).locator("td")).to_have_text([NUMBER, NONE, NUMBER])
