"""Answers of an application behind the hot path when a call fails, and who is told."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from service.engine import Engine
from service.errors import GatesUnavailable
from service.http.error_handlers import ErrorHandlers
from service.http.journal import Journal
from service.http.middleware import RequestMiddleware
from service.monitoring.telemetry import Telemetry
from service.settings import Settings


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(Settings(models=tmp_path, log_requests="off"))
    yield made
    made.close()


def ask(engine: Engine, telemetry: Telemetry, method: str, path: str) -> httpx.Response:
    app = FastAPI(openapi_url=None)

    @app.get("/v1/lost")
    @app.get("/v2/lost")
    def lost() -> None:
        raise KeyError("a secret")

    @app.get("/v1/gateless")
    def gateless() -> None:
        raise GatesUnavailable("hand", "has none")

    @app.get("/v1/models/{name}/versions/{version}")
    def numbered(name: str, version: int) -> int:
        return version

    journal = Journal(engine.settings)
    routes = [route for route in app.router.routes if isinstance(route, Route)]
    ErrorHandlers(routes, telemetry, journal).attach(app)

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(RequestMiddleware(app, routes, engine, journal, None))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers={"X-Request-Id": "order-7"})

    answer = asyncio.run(run())
    journal.close()
    return answer


@pytest.mark.parametrize("path", ["/v1/lost", "/v2/lost"])
def test_an_error_of_the_service_itself_is_logged_and_not_told(
    engine: Engine, telemetry: Telemetry, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(engine, telemetry, "GET", path)
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "order-7")
    assert "secret" not in answer.text
    assert ("detail" in answer.json()) == path.startswith("/v1")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert "order-7" in record.getMessage()
    assert 'mmoe_rejected_requests_total{reason="internal"} 1.0' in telemetry.prometheus()[0].decode()


def test_an_error_of_the_tree_is_told_and_counted_but_not_logged(
    engine: Engine, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(engine, telemetry, "GET", "/v1/gateless")
    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (
        409, "gates_unavailable", "order-7",
    )  # fmt: skip
    assert caplog.records == []
    assert 'mmoe_rejected_requests_total{reason="gates_unavailable"} 1.0' in telemetry.prometheus()[0].decode()


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/v1/models/a/versions/x", 400, "The parameter 'version' is 'x'. Expected a valid integer."),
        ("GET", "/v1/models/a/versions/1:x", 404, "There is nothing at '/v1/models/a/versions/1:x'; GET /docs"),
        ("POST", "/v1/lost", 405, "POST is not possible at '/v1/lost'; GET /docs"),
        ("POST", "/v1/nothing", 404, "There is nothing at '/v1/nothing'; GET /docs"),
    ],
)
def test_what_cannot_be_routed_says_what_came_and_what_to_do(
    engine: Engine, telemetry: Telemetry, method: str, path: str, status: int, detail: str
) -> None:
    answer = ask(engine, telemetry, method, path)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    assert answer.headers.get("allow") == ("GET, HEAD" if status == 405 else None)
