"""Ids and lines of requests, through a real service that logs JSON."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.journal import TRACEBACKS_PER_S, Journal, RequestRecord
from service.settings import Settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
PREDICT, GATES = "/v1/models/hand:predict", "/v1/models/hand:gates"
ROW = {"instances": [{"age": 1.5}]}
SECRET = "neither-here-nor-there"


def served(
    start_service: Callable[..., Any], models: Path, send: Callable[[httpx.Client], None], **settings: str
) -> list[dict[str, Any]]:
    with start_service(models, default_model="hand", **settings) as service:
        with httpx.Client(base_url=service.url) as client:
            send(client)
        service.process.terminate()
        service.wait_for('"event":"ended"')
    return [json.loads(line) for line in service.lines]


def test_by_default_errors_are_logged_and_nothing_that_was_sent(
    start_service: Callable[..., Any], models: Path
) -> None:
    def send(client: httpx.Client) -> None:
        client.post(PREDICT, json=ROW)
        bad = {"instances": [{"age": SECRET, SECRET: 1}]}
        client.post(PREDICT, json=bad, headers={"X-Request-Id": "order-7", "traceparent": PARENT})
        client.post(GATES, json=bad, headers={"X-Request-Id": "order-8", "traceparent": PARENT})
        client.post(f"/v2/models/hand/infer?q={SECRET}", json={"inputs": SECRET})
        client.get(PREDICT)
        client.get("/nothing", params={"q": SECRET})

    lines = served(start_service, models, send)
    found = [line for line in lines if line["event"] == "request"]
    assert [(line["status"], line["route"], line.get("error")) for line in found] == [
        (422, "predict", "invalid_features"),
        (422, "gates", "invalid_features"),
        (400, "v2_infer", "malformed"),
        (405, "predict", None),
        (404, "other", None),
    ]
    assert [line["request_id"] for line in found][:2] == ["order-7", "order-8"]
    assert [line.get("trace_id") for line in found] == [TRACE, TRACE, None, None, None]
    assert {line["model"] for line in found[:3]} == {"hand"}
    assert {line["version"] for line in found[:3]} == {2}
    assert all(line["level"] == "warning" and line["worker"] == 0 and line["duration_ms"] > 0 for line in found)
    assert SECRET not in json.dumps(lines)


def test_all_requests_are_logged_if_wanted_under_the_id_that_the_answer_carries(
    start_service: Callable[..., Any], models: Path
) -> None:
    answers: list[httpx.Response] = []

    def send(client: httpx.Client) -> None:
        answers.append(client.post(PREDICT, json=ROW))
        answers.append(client.post(PREDICT, json=ROW, headers={"X-Request-Id": "order-9"}))
        answers.append(client.get("/health/ready"))
        answers.append(client.get("/v1/models"))

    lines = served(start_service, models, send, log_requests="all")
    found = [line for line in lines if line["event"] == "request"]
    assert [(line["status"], line["route"], line.get("rows")) for line in found] == [
        (200, "predict", 1),
        (200, "predict", 1),
        (200, "health", None),
        (200, "models", None),
    ]
    assert [line["request_id"] for line in found] == [answer.headers["x-request-id"] for answer in answers]
    assert found[1]["request_id"] == "order-9"


def test_no_request_is_logged_if_none_is_wanted(start_service: Callable[..., Any], models: Path) -> None:
    def send(client: httpx.Client) -> None:
        assert client.post(PREDICT, content=b"{").status_code == 400

    lines = served(start_service, models, send, log_requests="off")
    assert not [line for line in lines if line["event"] == "request"]
    events = [line["event"] for line in lines]
    assert [events.index(event) for event in ("starting", "model_loaded", "ready", "draining", "ended")] == sorted(
        events.index(event) for event in ("starting", "model_loaded", "ready", "draining", "ended")
    )


@pytest.mark.parametrize(
    ("method", "path"), [("POST", PREDICT), ("POST", GATES), ("POST", "/v1/models/nobody:predict"), ("GET", "/nothing")]
)
def test_a_trace_is_passed_on_with_the_answer(client: httpx.Client, method: str, path: str) -> None:
    headers = {"traceparent": PARENT, "tracestate": "a=1", "X-Request-Id": "order-7"}
    answer = client.request(method, path, json=ROW, headers=headers)
    assert answer.headers["traceparent"] == PARENT
    assert answer.headers["tracestate"] == "a=1"
    assert answer.headers["x-request-id"] == "order-7"


@pytest.mark.parametrize("path", [PREDICT, GATES])
def test_no_trace_is_made_up(client: httpx.Client, path: str) -> None:
    for headers in ({}, {"traceparent": "00-nonsense"}, {"tracestate": "a=1"}):
        answer = client.post(path, json=ROW, headers=headers)
        assert answer.status_code == 200
        assert not {"traceparent", "tracestate"} & set(answer.headers)


@pytest.mark.parametrize("identity", ["", "x" * 129, "caf\u00e9", "a\tb"])
def test_an_id_that_cannot_be_sent_back_is_not(client: httpx.Client, identity: str) -> None:
    answer = client.post(PREDICT, json=ROW, headers=[(b"x-request-id", identity.encode())])
    assert answer.status_code == 200
    assert "x-request-id" not in answer.headers
    refused = client.post(PREDICT, content=b"{", headers=[(b"x-request-id", identity.encode())])
    assert refused.headers["x-request-id"] not in ("", identity)


def test_an_error_of_the_service_is_one_line_with_its_traceback_and_a_flood_is_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        journal = Journal(Settings(log_requests="off"), clock=lambda: 0.0)
        identity = journal.identify({b"x-request-id": b"order-7", b"traceparent": PARENT.encode()})
        for _ in range(1000):
            journal.failed(identity, "/v1/predict", KeyError("lost"))
            journal.answered(RequestRecord(identity, "POST", "/v1/predict", "predict", 429, None, None, 0.0, 0.0))

    asyncio.run(main())
    told = [(record.event, getattr(record, "fields", {})) for record in caplog.records]  # type: ignore[attr-defined]
    failed = [fields for event, fields in told if event == "request_failed"]
    assert len(failed) == TRACEBACKS_PER_S
    assert failed[0] == {"request_id": "order-7", "trace_id": TRACE, "path": "/v1/predict"}
    assert [fields for event, fields in told if event == "overloaded"] == [{"requests": 1}], "the rest comes later"
    assert len(told) == TRACEBACKS_PER_S + 2
    assert all(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)
