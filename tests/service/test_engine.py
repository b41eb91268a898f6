"""The core below every transport: models by name, runs that requests share, traffic noted once."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Engine
from service.errors import ArtifactError, DeadlineExceeded, GatesUnavailable, InvalidFeatures, NotReady, SettingsError
from service.http.codecs.endpoint import Endpoints
from service.inference.answer import RunSlice
from service.inference.features import Batch
from service.settings import Settings

Array = Any
Rows = Callable[..., tuple[Array, Array]]


class Notebook:
    """Record the gate weights that are handed over."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def record(self, weights: Array, /) -> None:
        self.rows.append(len(weights))


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def engine(tmp_path: Path, hand_model: Callable[..., Path], notebook: Notebook) -> Iterator[Engine]:
    hand_model(tmp_path, "hand", 1)
    hand_model(tmp_path, "plain", 1, kind="plain")
    made = Engine(Settings(models=tmp_path, default_model="hand"), recorder_of=lambda *_: notebook)
    made.catalogue.scan()
    yield made
    made.close()


@pytest.fixture
def batches(hand_weights: Callable[..., Any], hand_rows: Rows) -> list[Batch]:
    """Draw three requests of 1, 3 and 2 rows."""
    numeric, categorical = hand_rows(hand_weights(), 6)
    return [Batch(numeric[a:b], categorical[a:b], b - a) for a, b in ((0, 1), (1, 4), (4, 6))]


def ask(engine: Engine, batches: list[Batch], call: str = "predict", **options: Any) -> list[Any]:
    """Send batches in one turn, return what each got."""

    async def together() -> list[Any]:
        send = getattr(engine.get(), call)
        return await asyncio.gather(
            *(send(batch, engine.clock(), 9.0, **options) for batch in batches), return_exceptions=True
        )

    return asyncio.run(together())


def test_requests_of_a_turn_share_a_run_and_get_their_own_rows(
    engine: Engine, batches: list[Batch], hand_weights: Callable[..., Any], notebook: Notebook
) -> None:
    parts = ask(engine, batches)
    assert len({id(part.run) for part in parts}) == 1
    for part, batch in zip(parts, batches, strict=True):
        answer, expected = part.answer(), hand_weights().answer(batch.numeric, batch.categorical)
        for task, values in answer.tasks.items():
            np.testing.assert_allclose(values, expected[task], rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(answer.gate_weights, expected["gate_weights"], rtol=2e-5, atol=1e-6)
    assert notebook.rows == [6], "a run is noted once"


def test_gate_weights_alone(engine: Engine, batches: list[Batch], notebook: Notebook) -> None:
    alone, full = ask(engine, batches, "gate_weights"), ask(engine, batches)
    for a, b in zip(alone, full, strict=True):
        assert not a.answer().tasks
        np.testing.assert_allclose(a.answer().gate_weights, b.answer().gate_weights, rtol=1e-6)
    assert notebook.rows == [6, 6]


def test_who_waits_for_a_session_shares_its_opening_and_its_run(
    engine: Engine, batches: list[Batch], notebook: Notebook
) -> None:
    model, opened = engine.get(), []
    open_session = model.predictor.open

    def counted(outputs: frozenset[str]) -> None:
        opened.append(outputs)
        open_session(outputs)

    async def with_one_who_leaves() -> None:
        asked = [asyncio.ensure_future(model.gate_weights(batch, engine.clock(), 9.0)) for batch in batches]
        await asyncio.sleep(0)
        asked.pop(0).cancel()
        await asyncio.gather(*asked)

    model.predictor.open = counted  # type: ignore[method-assign]
    asyncio.run(with_one_who_leaves())
    assert (len(opened), notebook.rows) == (1, [5])


def test_inspections_are_not_noted(engine: Engine, batches: list[Batch], notebook: Notebook) -> None:
    plain, deep = ask(engine, batches, "inspect"), ask(engine, batches, "inspect", contributions=True)
    moved = ask(engine, batches, "ablate")
    assert notebook.rows == []
    for batch, part, with_shares, without in zip(batches, plain, deep, moved, strict=True):
        assert part.answer().contributions is None
        assert with_shares.answer().contributions.shape == (batch.rows, 3, 4, 5)
        assert without["price"].shape == (4, batch.rows)
        assert without["grade"].shape == (4, batch.rows, 3)


def test_a_row_beyond_float32_fails_alone(engine: Engine, batches: list[Batch], notebook: Notebook) -> None:
    assert batches[1].numeric is not None
    batches[1].numeric[2] = 3e38
    good, bad, other = ask(engine, batches)
    assert isinstance(bad, InvalidFeatures)
    assert bad.problems[0].row == 2
    assert isinstance(good, RunSlice)
    assert isinstance(other, RunSlice)
    assert sorted(notebook.rows) == [1, 2]


def test_a_model_without_gates(engine: Engine, batches: list[Batch], notebook: Notebook) -> None:
    async def run() -> None:
        model = engine.get("plain")
        part = await model.predict(batches[0], engine.clock(), 9.0)
        assert part.answer().gate_weights is None
        for call in (model.gate_weights, model.inspect, model.ablate):
            with pytest.raises(GatesUnavailable):
                await call(batches[0], engine.clock(), 9.0)

    asyncio.run(run())
    assert notebook.rows == []


def test_a_request_whose_time_is_over_is_not_run(engine: Engine, batches: list[Batch]) -> None:
    async def late() -> None:
        await engine.get().predict(batches[0], engine.clock() - 1.0, 0.5)

    with pytest.raises(DeadlineExceeded):
        asyncio.run(late())


def test_a_default_model_that_is_not_served_makes_not_ready(tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    hand_model(tmp_path, "hand", 1)
    engine = Engine(Settings(models=tmp_path, default_model="hnad"))
    engine.catalogue.scan()
    with pytest.raises(NotReady, match=r"MMOE_DEFAULT_MODEL .* 'hnad'. Available: hand"):
        engine.check_ready()
    assert engine.get("hand").name == "hand"
    engine.close()


def test_ready_and_draining(engine: Engine, tmp_path: Path) -> None:
    engine.check_ready()
    engine.draining = True
    with pytest.raises(NotReady, match="draining"):
        engine.check_ready()
    empty = Engine(Settings(models=tmp_path / "hand" / "1"))
    empty.catalogue.scan()
    with pytest.raises(NotReady, match="no model"):
        empty.check_ready()
    empty.close()


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    engine = Engine(Settings(models=tmp_path / "nope"))
    with pytest.raises(ArtifactError, match="MMOE_MODELS"):
        engine.catalogue.scan()
    engine.close()


def test_what_is_loaded_and_how_long_it_took(engine: Engine) -> None:
    loaded = engine.catalogue.loaded()
    assert set(loaded) == {("hand", 1), ("plain", 1)}
    assert all(seconds > 0 for seconds in loaded.values())


def test_a_replaced_version_is_freed_when_its_last_request_ends(
    tmp_path: Path, hand_model: Callable[..., Path], engine: Engine, batches: list[Batch]
) -> None:
    async def swap() -> None:
        model = engine.get()
        endpoint = Endpoints(engine).get()
        assert model.transport is endpoint
        held = weakref.ref(model), weakref.ref(model.predictor)
        in_flight = asyncio.ensure_future(model.predict(batches[0], engine.clock(), 9.0))
        del model
        hand_model(tmp_path, "hand", 2, seed=5)
        engine.catalogue.scan()
        assert (engine.get().version, endpoint.model.version) == (2, 1)
        await in_flight
        assert all(ref() is not None for ref in held), "a request that began with it goes on with it"
        del endpoint, in_flight
        assert all(ref() is None for ref in held), "nothing waits for the collector"

    gc.disable()
    try:
        asyncio.run(swap())
    finally:
        gc.enable()


def test_a_version_is_served_without_statistics_where_there_is_no_room_for_them(
    tmp_path: Path, hand_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(*_: object) -> None:
        raise SettingsError("MMOE_RUN_DIR", "/run", "a directory with room for 1200 KiB more")

    hand_model(tmp_path, "hand", 1)
    engine = Engine(Settings(models=tmp_path), recorder_of=no_room)
    engine.catalogue.scan()
    engine.check_ready()
    (model,) = engine.models()
    assert (model.served, model.versions[0].state, engine.catalogue.refused()) == (1, "loaded", [])
    assert model.note is not None
    assert "its gates are not recorded: MMOE_RUN_DIR" in model.note
    assert "hand 1 is served without statistics of its gates" in caplog.text
    engine.close()
