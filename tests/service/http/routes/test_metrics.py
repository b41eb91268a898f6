"""`/metrics` through the whole application.

Every request is counted once, under a route of the fixed set.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.engine import Engine
from service.http.app import create_app
from service.http.journal import Journal
from service.http.middleware import CLIENT_LEFT, RequestMiddleware
from service.monitoring.telemetry import Telemetry
from service.settings import Settings

ROW = {"instances": [{"age": 9.5}]}


@pytest.fixture
def engine(tmp_path: Path, telemetry: Telemetry, hand_model: Callable[..., Path]) -> Iterator[Engine]:
    hand_model(tmp_path / "models", "hand", 1, tasks=("price", "sold"))
    made = Engine(Settings(models=tmp_path / "models", log_requests="off"), telemetry, telemetry.recorder_of)
    made.catalogue.scan()
    yield made
    made.close()


def call(engine: Engine, telemetry: Telemetry, method: str, path: str, **options: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(engine, telemetry), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(page)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def requests(page: str) -> dict[tuple[str, str, str], float]:
    """Return the counted requests by route, status and model."""
    found = {}
    for (name, labels), count in samples(page).items():
        if name == "mmoe_requests_total":
            by_name = dict(labels)
            found[by_name["route"], by_name["status"], by_name["model"]] = count
    return found


def test_every_request_is_counted_once_by_route_status_and_model(engine: Engine, telemetry: Telemetry) -> None:
    for method, path, options in (
        ("POST", "/v1/models/hand:predict", {"json": ROW}),
        ("POST", "/v1/predict", {"json": ROW}),
        ("POST", "/v1/models/hand:predict", {"content": b"{"}),
        ("POST", "/v1/models/nobody:predict", {"json": ROW}),
        ("POST", "/v1/models/hand:gates", {"json": ROW}),
        ("GET", "/v1/models/hand/gates", {}),
        ("GET", "/v1/models", {}),
        ("GET", "/v1/models/hand/metadata", {}),
        ("GET", "/v2/health/live", {}),
        ("GET", "/health/live", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/wp-login.php?a=1", {}),
    ):
        call(engine, telemetry, method, path, **options)
    page = call(engine, telemetry, "GET", "/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=")
    assert requests(page.text) == {
        ("predict", "200", "hand"): 2,
        ("predict", "400", "hand"): 1,
        ("predict", "404", ""): 1,
        ("gates", "200", "hand"): 1,
        ("traffic", "200", "hand"): 1,
        ("models", "200", ""): 1,
        ("metadata", "200", "hand"): 1,
        ("health", "200", ""): 2,
        ("docs", "200", ""): 1,
        ("other", "404", ""): 1,
    }


def test_predictions_are_measured_by_stage_and_everything_by_its_reason(engine: Engine, telemetry: Telemetry) -> None:
    rows = {"instances": ROW["instances"] * 3}
    call(engine, telemetry, "POST", "/v1/models/hand:predict", json=rows)
    call(engine, telemetry, "POST", "/v1/models/hand:predict", json={"instances": [{"nose": 1}]})
    call(engine, telemetry, "GET", "/v1/models/hand/gates?window=9y")
    found = samples(call(engine, telemetry, "GET", "/metrics").text)
    for stage in ("parse", "queue", "run", "render"):
        assert found["mmoe_stage_duration_seconds_count", frozenset({("stage", stage)})] == 1
        assert 0 < found["mmoe_stage_duration_seconds_sum", frozenset({("stage", stage)})] < 10
    assert found["mmoe_stage_duration_seconds_count", frozenset({("stage", "total")})] == 2
    assert found["mmoe_rows_total", frozenset({("model", "hand"), ("version", "1")})] == 3
    assert found["mmoe_batch_rows_sum", frozenset()] == 3
    for reason in ("invalid_features", "malformed"):
        assert found["mmoe_rejected_requests_total", frozenset({("reason", reason)})] == 1


def test_openmetrics_is_negotiated(engine: Engine, telemetry: Telemetry) -> None:
    page = call(engine, telemetry, "GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert page.headers["content-type"].startswith("application/openmetrics-text")


def test_a_connection_that_ends_before_its_answer_counts_too(engine: Engine, telemetry: Telemetry) -> None:
    async def leave(scope: Any, receive: Any, send: Any) -> None:
        raise ConnectionResetError

    async def nothing(*_: Any) -> Any:
        return None

    async def run() -> None:
        scope = {"type": "http", "method": "GET", "path": "/v1/models", "headers": []}
        journal = Journal(Settings(log_requests="off"))
        with pytest.raises(ConnectionResetError):
            await RequestMiddleware(leave, [], engine, journal, telemetry)(scope, nothing, nothing)

    asyncio.run(run())
    telemetry.publish()
    page = telemetry.prometheus()[0].decode()
    assert requests(page) == {("models", str(CLIENT_LEFT), ""): 1}
