"""Rolling back and pinning over HTTP."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine import Engine
from service.http.app import create_app
from service.settings import Settings

Call = tuple[str, Any]


@pytest.fixture
def engine(tmp_path: Path, hand_model: Callable[..., Path]) -> Iterator[Engine]:
    for version in (1, 2, 3):
        hand_model(tmp_path, "hand", version, seed=version)
    engine = Engine(Settings(models=tmp_path, local_admin=True))
    engine.scan()
    yield engine
    engine.close()


def ask(engine: Engine, *calls: Call) -> list[httpx.Response]:
    """Make POST calls, one after the other."""

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.post(path, json=body) for path, body in calls]

    return asyncio.run(run())


ROLLBACK: Call = ("/v1/models/hand:rollback", None)
PREDICT: Call = ("/v1/models/hand:predict", {"instances": [{"age": 9.5}]})


def pin(version: Any) -> Call:
    return "/v1/models/hand:pin", {"version": version}


def test_a_rollback_is_answered_seen_and_ended(engine: Engine) -> None:
    back, predicted, index, ended, again = ask(
        engine, ROLLBACK, PREDICT, ("/v2/repository/index", {"ready": True}), pin(None), PREDICT
    )
    assert (back.status_code, back.json()) == (200, {"model": "hand", "version": 2, "pinned": True})
    assert predicted.headers["x-model-version"] == "2"
    (entry,) = index.json()
    assert entry["version"] == "2"
    assert 'POST /v1/models/hand:pin with {"version": null} ends that' in entry["reason"]
    assert ended.json() == {"model": "hand", "version": 3, "pinned": False}
    assert again.json()["version"] == 3


def test_without_a_version_before_it_is_a_conflict(engine: Engine) -> None:
    pinned, conflict = ask(engine, pin(1), ROLLBACK)
    assert pinned.json() == {"model": "hand", "version": 1, "pinned": True}
    assert (conflict.status_code, conflict.json()["code"]) == (409, "version_conflict")
    assert conflict.json()["detail"].startswith("There is no version of model 'hand' before 1. ")


@pytest.mark.parametrize("body", [{}, [], {"version": 0}, {"version": "2"}, {"version": True}, {"versoin": 2}])
def test_what_is_no_version_is_400(engine: Engine, body: Any) -> None:
    (answer,) = ask(engine, ("/v1/models/hand:pin", body))
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_what_is_not_there_is_404(engine: Engine) -> None:
    for answer in ask(engine, pin(9), ("/v1/models/sensus:rollback", None), ("/v1/models/sensus:pin", {"version": 1})):
        assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")


def test_callers_who_may_not_change_the_service_may_not_roll_back(
    tmp_path: Path, hand_model: Callable[..., Path]
) -> None:
    hand_model(tmp_path, "hand", 1)
    engine = Engine(Settings(models=tmp_path))
    engine.scan()
    assert {answer.status_code for answer in ask(engine, ROLLBACK, pin(1))} == {403}
    engine.close()
