"""A request that waits to be refused holds on to neither its body nor what was parsed of it."""

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.http.app import create_app
from service.http.hot.head_cache import Call
from service.http.hot.predict import HotPath
from tests.support.served_protocol import PREDICT

COUNT = 1237
"""Rows of the request: no list of another origin is as long."""

INFER = PREDICT.replace("/v1/", "/v2/").replace(":predict", "/infer")


def lists() -> int:
    gc.collect()
    return sum(type(each) in (list, tuple) and len(each) in (COUNT, 3 * COUNT) for each in gc.get_objects())


def categories(texts: list[Any]) -> dict[str, Any]:
    data = {"name": "categorical", "datatype": "BYTES", "shape": [COUNT, 2], "data": [[text, ""] for text in texts]}
    return {"inputs": [{"name": "numeric", "datatype": "FP32", "shape": [COUNT, 3], "data": [1.5] * 3 * COUNT}, data]}


WRONG: list[tuple[str, Any, int]] = [
    (PREDICT, {"instances": [{"age": 1}] * COUNT, "stranger": 1}, 400),
    (PREDICT, {"instances": [{"age": "wrong"}] * COUNT}, 422),
    (PREDICT, {"instances": [[1, 2, 3, "a", 5]] * COUNT}, 422),
    (PREDICT, {"inputs": {"age": [True] * COUNT}}, 422),
    (PREDICT, {"instances": [{"age": 1}] * COUNT}, 429),
    (INFER, categories([5] * COUNT), 400),
    (INFER, categories(["red"] * COUNT), 429),
]


@pytest.mark.parametrize(("path", "document", "status"), WRONG)
def test_a_refused_request_holds_nothing(
    own_hand: Path, open_engine: Callable[..., Engine], path: str, document: Any, status: int
) -> None:
    engine = open_engine(own_hand)
    hot = create_app(engine)
    assert isinstance(hot, HotPath)
    route = hot.route(path)
    assert route is not None

    async def run() -> int:
        if status == 429:
            engine.batcher.queued_rows = engine.settings.max_queue_rows - 1
        body = json.dumps(document).encode()
        kept, before = sys.getrefcount(body), lists()
        answering = hot.respond(Call(route, "POST", path, {b"content-type": b"application/json"}), "", body)
        waiting = answering.send(None)
        let_out = asyncio.Event()
        waiting.add_done_callback(lambda _: let_out.set())
        assert sys.getrefcount(body) == kept
        assert lists() == before
        await let_out.wait()
        with pytest.raises(StopIteration) as ended:
            answering.send(None)
        answered: int = ended.value.value[0]
        return answered

    assert asyncio.run(run()) == status
