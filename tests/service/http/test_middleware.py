"""Requests behind the hot path carry their ids and are told of however they end, seen as a
server sees them.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Route

from service.engine import Engine
from service.http.error_handlers import ErrorHandlers
from service.http.journal import Journal
from service.http.middleware import RequestMiddleware
from service.http.types import AsgiApp, Message, Receive, Scope, Send
from service.settings import Settings


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(Settings(models=tmp_path, log_format="json"))
    yield made
    made.close()


def ask(
    engine: Engine,
    app: AsgiApp,
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    routes: Sequence[Route] = (),
    errors: bool = False,
) -> list[Message]:
    """Make one request; return what the server is given to send."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody reads the request")

    scope: Scope = {"type": "http", "method": method, "path": "/v1/models", "headers": list(headers)}
    journal = Journal(engine.settings)
    if errors:
        assert isinstance(app, FastAPI)
        ErrorHandlers(routes, None, journal).attach(app)

    async def main() -> None:
        await RequestMiddleware(app, routes, engine, journal, None)(scope, receive, send)

    try:
        asyncio.run(main())
    finally:
        journal.close()
    return sent


def answering(*headers: tuple[bytes, bytes]) -> AsgiApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"{}"})

    return app


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_the_callers_id_goes_out_with_the_answer(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    start, body = ask(engine, answering((b"x-own", b"1")), (b"x-request-id", b"order-7"))
    assert start["headers"] == [(b"x-own", b"1"), (b"x-request-id", b"order-7")]
    assert body["body"] == b"{}"
    assert lines(capfd) == [], "successes are not logged by default"


def test_an_id_that_the_answer_has_is_not_repeated(engine: Engine) -> None:
    start, _ = ask(engine, answering((b"x-request-id", b"order-7")), (b"x-request-id", b"order-7"))
    assert start["headers"] == [(b"x-request-id", b"order-7")]


def test_none_is_made_up_where_none_came(engine: Engine) -> None:
    assert ask(engine, answering())[0]["headers"] == []


def test_an_error_without_an_id_gets_one_and_it_is_that_of_the_log(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    start, body = ask(engine, FastAPI(openapi_url=None), errors=True)
    (line,) = lines(capfd)
    assert (start["status"], line["status"]) == (404, 404)
    assert line["request_id"]
    assert dict(start["headers"])[b"x-request-id"] == line["request_id"].encode()
    assert json.loads(body["body"])["request_id"] == line["request_id"]


def test_head_is_answered_as_get_without_the_body(engine: Engine) -> None:
    methods: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        methods.append(scope["method"])
        await answering((b"content-length", b"2"))(scope, receive, send)

    start, body = ask(engine, app, method="HEAD", routes=[Route("/v1/models", app, methods=["GET"])])
    assert methods == ["GET"]
    assert start["headers"] == [(b"content-length", b"2")]
    assert body["body"] == b""
    ask(engine, app, method="HEAD", routes=[Route("/v1/models", app, methods=["POST"])])
    assert methods == ["GET", "HEAD"], "there is no GET"


def test_a_request_that_is_never_answered_is_told_and_its_error_passed_on(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ask(engine, leaves, (b"x-request-id", b"order-7"))
    (line,) = lines(capfd)
    assert (line["status"], line["route"], line["request_id"]) == (499, "models", "order-7")


def test_what_is_no_request_passes_as_it_is(engine: Engine) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any: ...

    lifespan: Scope = {"type": "lifespan"}
    journal = Journal(engine.settings)
    asyncio.run(RequestMiddleware(app, [], engine, journal, None)(lifespan, nothing, nothing))
    journal.close()
    assert seen == [lifespan]
    assert seen[0] is lifespan
