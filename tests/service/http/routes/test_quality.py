"""`GET .../quality` and its metrics: what an evaluation left, or why there is nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.monitoring.quality import QualityFileError, read_quality
from service.monitoring.quality_metrics import QualityMetrics

TASK: dict[str, Any] = {
    "task": "sold", "kind": "binary", "rows": 10, "labelled": 8, "share_labelled": 0.8, "label_delay_s": None,
    "metrics": {"auc": {"value": 0.7, "low": 0.6, "high": 0.8}}, "base_log_loss": 0.5, "test_metrics": {"auc": 0.9},
    "verdict": {"state": "worse than test rows", "metric": "auc", "value": 0.7, "test": 0.9, "margin": 0.02},
    "by_time": [], "by_expert": [], "segments": [],
}  # fmt: skip
QUALITY: dict[str, Any] = {
    "model": "hand", "time_utc": "2026-11-28 20:00:00", "by": "day", "min_rows": 5, "records": {"labels": 8},
    "versions": [{"version": 2, "rows": 10, "measured_rows": 10, "joints_above_parents": 0, "tasks": [TASK]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(
    models: Path, start_service: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("quality")
    (home / "hand").mkdir()
    (home / "hand/quality.json").write_text(json.dumps(QUALITY))
    with (
        start_service(models, default_model="hand", quality=str(home)) as started,
        httpx.Client(base_url=started.url, timeout=60) as client,
    ):
        yield client


def test_the_result_of_an_evaluation_is_given_as_it_is(evaluated: httpx.Client) -> None:
    answer = evaluated.get("/v1/models/hand/quality")
    assert (answer.status_code, answer.json()) == (200, QUALITY)
    missing = evaluated.get("/v1/models/wide/quality")
    assert (missing.status_code, "wide has not been evaluated" in missing.json()["detail"]) == (404, True)


def test_metrics_tell_of_it(evaluated: httpx.Client) -> None:
    lines = evaluated.get("/metrics").text.splitlines()
    of_task = 'model="hand",task="sold",version="2"}'
    assert f'mmoe_quality{{metric="auc",{of_task} 0.7' in lines
    assert f'mmoe_quality_test{{metric="auc",{of_task} 0.9' in lines
    assert f"mmoe_quality_labelled_rows{{{of_task} 8.0" in lines
    assert f"mmoe_quality_worse{{{of_task} 1.0" in lines


def test_metrics_follow_the_file(tmp_path: Path) -> None:
    (tmp_path / "hand").mkdir()
    (tmp_path / ".lock").touch()
    metrics = QualityMetrics(tmp_path)

    def told() -> list[float]:
        return [
            sample.value for metric in metrics.collect() if metric.name == "mmoe_quality" for sample in metric.samples
        ]

    assert told() == []
    for name, auc in (("first", 0.7), ("second", 0.75)):
        changed = {**TASK, "metrics": {"auc": {**TASK["metrics"]["auc"], "value": auc}}}
        version = {**QUALITY["versions"][0], "tasks": [changed]}
        (tmp_path / name).write_text(json.dumps({**QUALITY, "versions": [version]}))
        (tmp_path / name).replace(tmp_path / "hand/quality.json")
        assert told() == told() == [auc]
    (tmp_path / "hand/quality.json").write_text("")
    assert told() == []


def test_without_the_setting_the_call_names_it(client: httpx.Client) -> None:
    answer = client.get("/v1/models/hand/quality")
    assert (answer.status_code, "MMOE_QUALITY" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": "hand"}', b"\xff", b"1e999"])
def test_a_file_of_something_else_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand/quality.json").write_bytes(content)
    with pytest.raises(QualityFileError, match=r"is not a result of scripts\.evaluate"):
        read_quality(tmp_path, "hand")
