"""`POST .../labels`: labels are in the label log as numbers; wrong ones are told, not kept."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import Overloaded
from service.logs.labels import ROOM_ROWS, LabelledRow, LabelLog
from service.settings import Settings

PATH = "/v1/models/hand/labels"
Records = list[dict[str, Any]]


class Service:
    """Service with both logs, and what it has written so far."""

    def __init__(self, client: httpx.Client, directory: Path) -> None:
        self.client, self.predictions, self.labels = client, directory / "predictions", directory / "labels"

    def post(self, body: object) -> httpx.Response:
        return self.client.post(PATH, json=body)

    def label_records(self) -> Records:
        """Return all records so far, by waiting for one that is written after them."""
        marker = f"marker {time.monotonic_ns()}"
        assert self.post({"labels": [{"key": marker, "tasks": {"sold": 1}}]}).status_code == 200
        kept: Records = []
        while marker not in [found["key"] for found in kept]:
            kept = records(self.labels)
        return [found for found in kept if not found["key"].startswith("marker")]


@pytest.fixture(scope="module")
def logging_service(
    models: Path, start_service: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    path = tmp_path_factory.mktemp("logs")
    logs = {"prediction_log": str(path / "predictions"), "label_log": str(path / "labels")}
    with (
        start_service(models, default_model="hand", max_rows="20", max_queue_rows="20", **logs) as started,
        httpx.Client(base_url=started.url, timeout=30) as client,
    ):
        yield Service(client, path)


def records(directory: Path) -> Records:
    texts = [path.read_text() for path in sorted(directory.glob("*.jsonl"))]
    whole = [text[: text.rfind("\n") + 1] for text in texts]  # the last line may be half written
    return [json.loads(line) for text in whole for line in text.splitlines()]


def test_labels_are_kept_as_numbers_by_request_or_by_key(logging_service: Service) -> None:
    predicted = logging_service.client.post(
        "/v1/predict", json={"instances": [{}, {"age": 9.5}], "keys": ["order-7", 18]}
    )
    assert predicted.status_code == 200
    request_id = predicted.headers["x-request-id"]
    single = logging_service.client.post(
        "/v1/predict", json={"inputs": {"age": [1]}}, headers={b"X-Row-Key": "Größe 9".encode()}
    )
    assert single.status_code == 200
    first = logging_service.post(
        {
            "labels": [
                {"request_id": request_id, "row": 1, "tasks": {"price": 3.5, "sold": True, "grade": None}},
                {"key": 18, "tasks": {"grade": "middle"}},
            ]
        }
    )
    assert first.json() == {"model": "hand", "version": 2, "rows": 2}
    columns = logging_service.post(
        {"key": ["order-7", "Größe 9"], "row": None, "tasks": {"sold": [0, None], "price": [1, 2]}}
    )
    assert columns.json() == {"model": "hand", "version": 2, "rows": 2}
    while len(predicted_rows := records(logging_service.predictions)) < 3:
        pass
    assert [(r["request_id"] == request_id, r["row"], r["key"]) for r in predicted_rows] == [
        (True, 0, "order-7"),
        (True, 1, "18"),
        (False, 0, "Größe 9"),
    ]
    kept = logging_service.label_records()
    assert [(r["model"], r["request_id"], r["key"], r["row"]) for r in kept] == [
        ("hand", request_id, "", 1),
        ("hand", "", "18", 0),
        ("hand", "", "order-7", 0),
        ("hand", "", "Größe 9", 0),
    ]
    assert [{e["task"]: e["value"] for e in r["labels"]} for r in kept] == [
        {"price": 3.5, "sold": 1.0},
        {"grade": 1.0},
        {"sold": 0.0, "price": 1.0},
        {"price": 2.0},
    ]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, '"tasks" is null'),
        ({"labels": []}, 400, "an array of rows"),
        ({"labels": [{}], "key": []}, 400, "'key'"),
        ({"label": [1]}, 400, "unknown key 'label'"),
        ({"key": ["a"], "tasks": {"sold": [1, 0]}}, 400, "one length"),
        ({"labels": [{"key": "a", "tasks": {"sold": 2}}]}, 422, "row 0: the label of task 'sold' is 2; expected"),
        ({"labels": [{"key": "a", "tasks": {"sold": 1}}, {"key": "b", "tasks": {"x": 1}}]}, 422, "row 1: 'x' is not"),
        ({"labels": [{"tasks": {"sold": 1}}]}, 422, "either"),
        ({"labels": [{"key": "a", "request_id": "b", "tasks": {"sold": 1}}]}, 422, "either"),
        ({"labels": [{"request_id": "b", "row": -1, "tasks": {"sold": 1}}]}, 422, '"row" is -1'),
        ({"labels": [{"request_id": "b", "row": 1e30, "tasks": {"sold": 1}}]}, 422, '"row" is 1000'),
        ({"labels": [{"key": "a", "row": 1, "tasks": {"sold": 1}}]}, 422, "none beside"),
        ({"labels": [{"key": "", "tasks": {"sold": 1}}]}, 422, "its key is ''"),
        ({"labels": [{"key": "a", "tasks": {"sold": None}}]}, 422, "it has no label"),
        ({"labels": [{"key": "a", "tasks": {"sold": 1}}] * 21}, 413, "21 rows"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(logging_service: Service, body: object, status: int, told: str) -> None:
    before = logging_service.label_records()
    answer = logging_service.post(body)
    assert answer.status_code == status
    assert told in answer.json()["detail"]
    assert logging_service.label_records() == before


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"instances": [{}, {}], "keys": ["a"]}, {}),
        ({"instances": [{}], "keys": "a"}, {}),
        ({"instances": [{}, {}]}, {"X-Row-Key": "a"}),
        ({"instances": [{}], "keys": ["a"]}, {"X-Row-Key": "a"}),
    ],
)
def test_keys_are_one_a_row(logging_service: Service, body: object, headers: dict[str, str]) -> None:
    answer = logging_service.client.post("/v1/predict", json=body, headers=headers)
    assert answer.status_code == 400
    assert "one a row" in answer.json()["detail"]


def test_the_caller_is_told_to_come_again_and_what_was_taken_is_written(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    log = LabelLog(Settings(label_log=tmp_path), lambda record, count: counts.update({record: count}))
    rows = [LabelledRow("", str(number), 0, {"sold": 1.0}) for number in range(ROOM_ROWS)]
    accepted: list[int] = []

    def fill() -> None:
        while True:
            log.note("hand", rows)
            accepted.append(len(rows))

    with pytest.raises(Overloaded, match="Too many rows of labels are waiting"):
        fill()
    log.close()
    assert len(records(tmp_path)) == counts["label_rows_written"] == sum(accepted)


def test_without_a_label_log_the_call_says_which_setting_it_needs(client: httpx.Client) -> None:
    answer = client.post(PATH, json={"labels": [{"key": "a", "tasks": {"sold": 1}}]})
    assert answer.status_code == 404
    assert "MMOE_LABEL_LOG" in answer.json()["detail"]
