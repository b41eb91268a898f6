"""Loading and unloading over HTTP; who may is in test_guard.py."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine import Engine
from service.http.app import create_app
from tests.support.calls import Call, ask

ROWS = {"instances": [{"age": 9.5}]}


@pytest.fixture
def engine(tmp_path: Path, hand_model: Callable[..., Path], open_engine: Callable[..., Engine]) -> Engine:
    for name in ("hand", "other"):
        hand_model(tmp_path, name, 1)
    return open_engine(tmp_path, local_admin=True)


LOAD: Call = ("POST", "/v2/repository/models/hand/load", {})
UNLOAD: Call = ("POST", "/v2/repository/models/hand/unload", {})
INDEX: Call = ("POST", "/v2/repository/index", {})


def test_an_unloaded_model_answers_no_more_until_it_is_loaded(engine: Engine) -> None:
    predict = ("POST", "/v1/models/hand:predict", ROWS)
    version = ("POST", "/v1/models/hand/versions/1:predict", ROWS)
    other = ("POST", "/v1/models/other:predict", ROWS)
    ready = ("GET", "/v2/models/hand/ready", None)
    unload, gone, by_version, not_ready, still, index = ask(
        create_app(engine), UNLOAD, predict, version, ready, other, INDEX
    )
    assert (unload.status_code, unload.content) == (200, b"")
    assert (gone.status_code, by_version.status_code, not_ready.status_code) == (503, 404, 503)
    assert "POST /v2/repository/models/hand/load brings it back" in gone.json()["detail"]
    assert still.status_code == 200
    states = {entry["name"]: (entry["state"], entry["reason"][:18]) for entry in index.json()}
    assert states == {"hand": ("UNAVAILABLE", "unloaded by a call"), "other": ("READY", "")}
    load, back = ask(create_app(engine), LOAD, predict)
    assert (load.status_code, load.content, back.status_code) == (200, b"", 200)


def test_loading_brings_what_is_new_on_disk(engine: Engine, tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    hand_model(tmp_path, "hand", 2)
    load, found = ask(create_app(engine), LOAD, ("POST", "/v1/models/hand:predict", ROWS))
    assert (load.status_code, found.json()["version"]) == (200, 2)


def test_what_is_not_there_can_be_neither_loaded_nor_unloaded(engine: Engine, tmp_path: Path) -> None:
    for call in ("load", "unload"):
        (answer,) = ask(create_app(engine), ("POST", f"/v2/repository/models/nope/{call}", None))
        assert answer.status_code == 404
        assert "no model 'nope'" in answer.json()["error"]
    (tmp_path / "hand" / "2").mkdir()
    (tmp_path / "hand" / "2" / "model.onnx").write_bytes(b"no model")
    shutil.rmtree(tmp_path / "hand" / "1")
    (refused,) = ask(create_app(engine), LOAD)
    assert refused.status_code == 409
    assert "no version of model 'hand'" in refused.json()["error"]
    assert engine.get("hand").version == 1, "it is served on until another can be"


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("load", {"config": "{}"}), ("load", {"file:1/model.onnx": "AAAA"}), ("load", {"unload_dependents": True}),
        ("load", "config"), ("load", []), ("unload", {"unload_dependents": 1}), ("unload", {"config": "{}"}),
    ],
)  # fmt: skip
def test_parameters_that_would_be_ignored_are_refused(engine: Engine, call: str, parameters: Any) -> None:
    (answer,) = ask(create_app(engine), ("POST", f"/v2/repository/models/hand/{call}", {"parameters": parameters}))
    assert answer.status_code == 400
    assert "Expected no parameters" in answer.json()["error"]
    assert engine.get("hand").version == 1


@pytest.mark.parametrize("parameters", [None, {}, {"config": None}, {"unload_dependents": None}])
def test_parameters_that_ask_for_nothing_are_taken(engine: Engine, parameters: Any) -> None:
    body = {"parameters": parameters}
    for call in ("load", "unload"):
        (answer,) = ask(create_app(engine), ("POST", f"/v2/repository/models/hand/{call}", body))
        assert answer.status_code == 200
    unload = {"parameters": {"unload_dependents": False}}
    assert ask(create_app(engine), (*UNLOAD[:2], unload))[0].status_code == 200


@pytest.mark.parametrize("content", [b"not json", b"[]", b'"config"', b"{"])
def test_a_body_that_is_not_an_object_is_refused(client: httpx.Client, content: bytes) -> None:
    for call in ("load", "unload"):
        answer = client.post(f"/v2/repository/models/hand/{call}", content=content)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
