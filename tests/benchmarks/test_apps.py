"""The floor and the service by hand answer over ASGI what the suite expects of them."""

import asyncio

import httpx
import numpy as np
import pytest
from httpx import ASGITransport, AsyncClient

from benchmarks.artifacts import Artifact
from benchmarks.bodies import Format, encode, random_table
from benchmarks.by_hand import create_app
from benchmarks.floor import Floor


def _post(app: object, path: str, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    async def call() -> httpx.Response:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://bench") as client:  # type: ignore[arg-type]
            return await client.post(path, content=content, headers=headers)

    return asyncio.run(call())


@pytest.mark.parametrize("rows", [1, 300])
def test_the_floor_answers_as_many_bytes_as_asked(rows: int, artifact: Artifact) -> None:
    form: Format = "named" if artifact.categorical else "lists"
    body = encode(artifact, random_table(artifact, rows, np.random.default_rng(0)), form)
    answer = _post(Floor(), f"/{'json' if artifact.categorical else 'numbers'}/412", body.content)
    assert (answer.status_code, len(answer.content)) == (200, 412)


def test_the_floor_parses_binary_bodies(artifact: Artifact) -> None:
    body = encode(artifact, random_table(artifact, 4, np.random.default_rng(0)), "binary")
    headers = {"Inference-Header-Content-Length": str(body.header_bytes)}
    assert len(_post(Floor(), "/binary/7", body.content, headers).content) == 7


def test_the_service_by_hand_answers_what_the_model_says(artifact: Artifact) -> None:
    table = random_table(artifact, 4, np.random.default_rng(0))
    body = encode(artifact, table, "named" if artifact.categorical else "lists")
    answer = _post(create_app(str(artifact.plain)), "/predict", body.content, {"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["predictions"]["total"], table.numeric.sum(axis=1), rtol=1e-6)
