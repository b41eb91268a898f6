"""One loaded model version; what it answers is tested through the engine."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.inference.features import Batch
from service.inference.model import measured_inline_rows
from service.inference.predictor import Predictor
from service.inference.session import open_session
from service.settings import Settings


@pytest.fixture
def engine(tmp_path: Path, hand_model: Callable[..., Path]) -> Iterator[Engine]:
    hand_model(tmp_path, "hand")
    made = Engine(Settings(models=tmp_path, default_model="hand"))
    made.catalogue.scan()
    yield made
    made.close()


@pytest.mark.parametrize("call", ["gate_weights", "contributions"])
def test_a_session_of_the_gates_is_opened_once_and_off_the_loop(
    engine: Engine, hand_weights: Callable[..., Any], hand_rows: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    numeric, categorical = hand_rows(hand_weights(), 2)
    model, batch = engine.get(), Batch(numeric, categorical, 2)
    threads: list[threading.Thread] = []

    def note(*arguments: Any, **options: Any) -> Any:
        threads.append(threading.current_thread())
        return open_session(*arguments, **options)

    monkeypatch.setattr("service.inference.predictor.open_session", note)

    async def ask() -> Any:
        if call == "gate_weights":
            return await model.gate_weights(batch, engine.clock(), 10)
        return await model.inspect(batch, engine.clock(), 10, contributions=True)

    async def ask_often() -> None:
        await asyncio.gather(ask(), ask(), ask())
        await ask()

    asyncio.run(ask_often())
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_runs_that_take_long_leave_the_loop(tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    predictor = Predictor.load(hand_model(tmp_path, "hand"))
    assert measured_inline_rows(predictor, 256, budget_s=1000.0) == 256
    assert measured_inline_rows(predictor, 0) == 0
    assert measured_inline_rows(predictor, 256, budget_s=0.0) == 0
