"""Log of models: each change once."""

import logging

import pytest

from service.versions.model_log import ModelLog
from service.versions.states import ModelState, VersionState


def model(served: int | None, **versions: str | None) -> ModelState:
    """Describe a model.

    Of a version's state "loaded", "refused: why", "loaded: why" or "available".
    """
    states = []
    for name, text in versions.items():
        state, _, reason = (text or "").partition(": ")
        states.append(VersionState(int(name[1:]), state, reason or None))  # type: ignore[arg-type]
    return ModelState("demo", served, tuple(states))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def events(told: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    found = [(record.event, record.fields["version"]) for record in told.records]  # type: ignore[attr-defined]
    told.clear()
    return found


def test_each_change_is_told_once(told: pytest.LogCaptureFixture) -> None:
    log = ModelLog()
    for states, expected in (
        ([model(1, v1="loaded")], [("model_loaded", 1)]),
        ([model(1, v1="loaded")], []),
        ([model(1, v2="refused: cut short", v1="loaded")], [("model_refused", 2)]),
        ([model(1, v2="refused: cut short", v1="loaded")], []),
        ([model(1, v2="refused: another reason", v1="loaded")], [("model_refused", 2)]),
        ([model(2, v2="loaded", v1="available")], [("model_loaded", 2), ("model_swapped", 2), ("model_unloaded", 1)]),
        ([model(2, v2="loaded: the new file is broken")], [("model_refused", 2)]),
        ([model(None, v2="available: unloaded by a call")], [("model_unloaded", 2)]),
        ([], []),
    ):
        log.tell(states)
        assert events(told) == expected


def test_a_refusal_gives_its_reason(told: pytest.LogCaptureFixture) -> None:
    ModelLog().tell([model(None, v7="refused: golden row 3 differs")])
    (record,) = told.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "demo 7 is not served: golden row 3 differs"
    assert record.fields == {"model": "demo", "version": 7, "reason": "golden row 3 differs"}  # type: ignore[attr-defined]
