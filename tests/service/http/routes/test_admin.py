"""Rolling back and pinning over HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.http.app import create_app
from tests.support.calls import Call, ask


@pytest.fixture
def engine(tmp_path: Path, hand_model: Callable[..., Path], open_engine: Callable[..., Engine]) -> Engine:
    for version in (1, 2, 3):
        hand_model(tmp_path, "hand", version, seed=version)
    return open_engine(tmp_path, local_admin=True)


ROLLBACK: Call = ("POST", "/v1/models/hand:rollback", None)
PREDICT: Call = ("POST", "/v1/models/hand:predict", {"instances": [{"age": 9.5}]})


def pin(version: Any, model: str = "hand") -> Call:
    return "POST", f"/v1/models/{model}:pin", {"version": version}


def test_a_rollback_is_answered_seen_and_ended(engine: Engine) -> None:
    back, predicted, index, ended, again = ask(
        create_app(engine), ROLLBACK, PREDICT, ("POST", "/v2/repository/index", {"ready": True}), pin(None), PREDICT
    )
    assert (back.status_code, back.json()) == (200, {"model": "hand", "version": 2, "pinned": True})
    assert predicted.headers["x-model-version"] == "2"
    (entry,) = index.json()
    assert entry["version"] == "2"
    assert 'POST /v1/models/hand:pin with {"version": null} ends that' in entry["reason"]
    assert ended.json() == {"model": "hand", "version": 3, "pinned": False}
    assert again.json()["version"] == 3


def test_without_a_version_before_it_is_a_conflict(engine: Engine) -> None:
    pinned, conflict = ask(create_app(engine), pin(1), ROLLBACK)
    assert pinned.json() == {"model": "hand", "version": 1, "pinned": True}
    assert (conflict.status_code, conflict.json()["code"]) == (409, "version_conflict")
    assert conflict.json()["detail"].startswith("There is no version of model 'hand' before 1. ")


@pytest.mark.parametrize("body", [{}, [], {"version": 0}, {"version": "2"}, {"version": True}, {"versoin": 2}])
def test_what_is_not_a_version_is_400(engine: Engine, body: Any) -> None:
    (answer,) = ask(create_app(engine), ("POST", "/v1/models/hand:pin", body))
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.json()["detail"].endswith('Expected {"version": 3}, or {"version": null} to serve the highest again.')


def test_what_is_not_there_is_404(engine: Engine) -> None:
    rollback = ("POST", "/v1/models/sensus:rollback", None)
    for answer in ask(create_app(engine), pin(9), rollback, pin(1, "sensus")):
        assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")


def test_callers_who_may_not_change_the_service_may_not_roll_back(
    own_hand: Path, open_engine: Callable[..., Engine]
) -> None:
    app = create_app(open_engine(own_hand))
    assert {answer.status_code for answer in ask(app, ROLLBACK, pin(1))} == {403}
