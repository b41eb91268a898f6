"""The page docs/traffic.md: what it shows is what the service answers."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.documented import DEFAULT_MODEL, write_documented

DOCS = Path(__file__).parents[4] / "docs"
SHOWN = json.loads(re.findall(r"```json\n(.*?)```", (DOCS / "traffic.md").read_text(), re.DOTALL)[0])


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return pytest.approx(value, abs=6e-5)
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return {key: rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


def test_the_answer_shown_is_given_after_the_rows_named(tmp_path: Path, start_service: Callable[..., Any]) -> None:
    write_documented(tmp_path)
    (request,) = re.findall(r'^(\{"instances": .*?\]\})$', (DOCS / "api.md").read_text(), re.MULTILINE | re.DOTALL)[:1]
    rows = json.loads(request)["instances"]
    assert len(rows) == 2
    with start_service(tmp_path, default_model=DEFAULT_MODEL) as service:
        sent = httpx.post(f"{service.url}/v1/predict", json={"instances": rows * 200}, timeout=30)
        assert len(sent.json()["predictions"]) == SHOWN["rows"]
        came = httpx.get(f"{service.url}/v1/gates?window={SHOWN['window']}", timeout=30).json()
    series, shown = came.pop("series"), dict(SHOWN)
    for of_this_service in ("instance", "loaded_at"):
        assert type(came.pop(of_this_service)) is type(shown.pop(of_this_service)) is str
    of_page = shown.pop("series")
    assert came == rounded(shown)
    assert list(series) == list(of_page)
    assert list(series["tasks"]) == list(of_page["tasks"])
    assert sum(series["rows"]) == sum(of_page["rows"]) == SHOWN["rows"]
    assert series["resolution_s"] * len(series["rows"]) == SHOWN["window_s"]
