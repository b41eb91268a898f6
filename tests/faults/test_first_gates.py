"""The first inspection of a version with large parts opens sessions; predictions go on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.effort import Effort
from tests.support.hand_questions import predictions
from tests.support.large_model import MANY, TABLE_ROWS, large_weights, write_large_model
from tests.support.load import Load, play
from tests.support.server import running

pytestmark = pytest.mark.alone

PER_S, WINDOW_S = 400.0, 0.5


def p99_ms(took: list[float]) -> float:
    return 1000 * sorted(took)[int(0.99 * len(took))]


def test_predictions_go_on_while_gates_are_first_asked_for(
    tmp_path: Path, effort: Effort, measured: Callable[[str], None]
) -> None:
    versions = 20 if effort.soak else 2
    weights = large_weights(MANY, TABLE_ROWS)
    for version in range(1, versions + 1):
        write_large_model(tmp_path, weights, version=version)
    questions = predictions("large", {versions: weights}, count=8)
    row = dict(zip([*weights.names, *weights.vocabularies], [1.0, 2.0, 3.0, "red", "city 5"], strict=True))

    usual: list[float] = []
    meanwhile: list[float] = []

    async def scenario(url: str) -> None:
        async with (
            Load(url, questions, connections=16, per_s=PER_S) as load,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
        ):
            await load.answers(200)
            for version in range(1, versions + 1):
                began = time.monotonic()
                await asyncio.sleep(WINDOW_S)
                usual.extend(load.took(since=began))
                began = time.monotonic()
                for options in ({}, {"contributions": True}):
                    body: dict[str, Any] = {"instances": [row], **options}
                    answer = await client.post(f"/v1/models/large/versions/{version}:gates", json=body)
                    assert answer.status_code == 200
                opened_ms = 1000 * (time.monotonic() - began)
                await asyncio.sleep(began + WINDOW_S - time.monotonic())
                meanwhile.extend(load.took(since=began))
                measured(f"version {version}: sessions opened in {opened_ms:.0f} ms")
        assert set(load.statuses) == {200}
        assert (load.broken, load.unreached, load.wrong) == (0, 0, [])

    with running(tmp_path, loaded_versions=str(versions), default_model="large") as service:
        play(scenario(service.url))
    measured(f"p99 of a prediction {p99_ms(usual):.2f} ms, {p99_ms(meanwhile):.2f} ms in windows with an opening")
    if effort.soak:
        assert p99_ms(meanwhile) < 2 * p99_ms(usual)
