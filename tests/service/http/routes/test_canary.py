"""A canary over HTTP: asked for, met by a share of the keys, told, ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine import Engine
from service.http.app import create_app
from service.monitoring.telemetry import Telemetry
from service.versions.canary import point
from tests.support.calls import Call, ask
from tests.support.v2 import inputs

PREDICT, ROWS = "/v1/models/hand:predict", {"instances": [{"age": 9.5}]}
KEYS = [f"user-{number}" for number in range(40)]


@pytest.fixture
def engine(tmp_path: Path, hand_model: Callable[..., Path], open_engine: Callable[..., Engine]) -> Engine:
    for version in (1, 2, 3):
        hand_model(tmp_path / "models", "hand", version, seed=version)
    return open_engine(tmp_path / "models", local_admin=True, pinned_versions={"hand": 1}, default_model="hand")


def canary(version: Any, **more: Any) -> Call:
    return "POST", "/v1/models/hand:canary", {"version": version, **more}


def version_of(answer: httpx.Response) -> int:
    return int(answer.headers["x-model-version"])


def test_a_key_meets_one_version_by_every_call_also_as_the_share_grows(engine: Engine) -> None:
    app = create_app(engine)
    met = dict.fromkeys(KEYS, 1)
    for share in (0.3, 0.7, 1.0):
        (asked,) = ask(app, canary(2, share=share))
        assert asked.json() == {"model": "hand", "version": 1, "canary": {"version": 2, "share": share}}
        for key in KEYS:
            calls: list[Call] = [
                ("POST", PREDICT, ROWS),
                ("POST", "/v1/predict", ROWS),
                ("POST", "/v2/models/hand/infer", {"inputs": inputs()}),
            ]
            found = {version_of(answer) for answer in ask(app, *calls, headers={"X-Canary-Key": key})}
            by_id = ask(app, calls[0], headers={"X-Request-Id": key})
            assert found == {version_of(by_id[0])} == {2 if point("hand", key.encode()) < share else 1}
            assert found >= {met[key]} or met[key] == 1, "who has met the canary stays with it"
            (met[key],) = found
        assert (1 in met.values()) == (share < 1)
        assert 2 in met.values()
    explicit = ("POST", "/v1/models/hand/versions/1:predict", ROWS)
    assert version_of(ask(app, explicit)[0]) == 1


def test_a_request_without_key_and_id_is_given_the_id_that_it_went_by(engine: Engine) -> None:
    app = create_app(engine)
    (without, *_) = ask(app, ("POST", PREDICT, ROWS), canary(2, share=0.5))
    assert "x-request-id" not in without.headers
    answers = ask(app, *[("POST", PREDICT, ROWS)] * 30)
    points = [point("hand", answer.headers["x-request-id"].encode()) for answer in answers]
    assert [version_of(answer) for answer in answers] == [2 if place < 0.5 else 1 for place in points]
    assert len(set(points)) == 30


def test_it_is_seen_counted_and_ended(engine: Engine, telemetry: Telemetry) -> None:
    app = create_app(engine, telemetry)
    wrong = ("POST", PREDICT, {"instances": [{"age": "old"}]})
    ask(app, canary(2, share=1), ("POST", PREDICT, ROWS), wrong)
    (models, metrics) = ask(app, ("GET", "/v1/models", None), ("GET", "/metrics", None))
    (model,) = models.json()["models"]
    assert (model["version"], model["canary"]) == (1, {"version": 2, "share": 1.0})
    for line in (
        'mmoe_canary_share{model="hand",version="2"} 1.0',
        'mmoe_serving_file_broken{model="hand"} 0.0',
        'mmoe_rows_total{model="hand",version="2"} 1.0',
        'mmoe_version_requests_total{model="hand",outcome="success",version="2"} 1.0',
        'mmoe_version_requests_total{model="hand",outcome="failure",version="2"} 1.0',
        'mmoe_version_requests_total{model="hand",outcome="failure",version="1"} 0.0',
    ):
        assert line in metrics.text
    (ended, after, *_) = ask(app, canary(None), ("POST", PREDICT, ROWS))
    assert ended.json() == {"model": "hand", "version": 1, "canary": None}
    assert version_of(after) == 1
    assert "x-request-id" not in after.headers


def test_it_is_refused_where_it_cannot_be(engine: Engine) -> None:
    app = create_app(engine)
    for body in ({"version": 2}, {"version": 2, "share": 0}, {"version": 2, "share": "1"}, {"share": 1}, {"x": 1}):
        (answer,) = ask(app, ("POST", "/v1/models/hand:canary", body))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    for asked, status in ((canary(1, share=1), 409), (canary(9, share=1), 404)):
        assert ask(app, asked)[0].status_code == status
    assert ask(app, canary(2, share=1), peer="10.0.0.9")[0].status_code == 403


def test_a_change_that_cannot_be_written_says_so(
    tmp_path: Path, hand_model: Callable[..., Path], open_engine: Callable[..., Engine]
) -> None:
    for version in (1, 2):
        hand_model(tmp_path, "hand", version)
    app = create_app(open_engine(tmp_path, local_admin=True, serving_directory="/proc"))
    (back, share) = ask(app, ("POST", "/v1/models/hand:rollback", None), canary(2, share=1))
    for answer in (back, share):
        assert answer.status_code == 200
        assert answer.json()["note"].startswith("/proc/hand/serving.json cannot be written: ")
        assert answer.json()["note"].endswith(": this is lost when the service restarts")
