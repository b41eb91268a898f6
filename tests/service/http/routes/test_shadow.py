"""Comparing a version with the served one over HTTP."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from service.engine import Engine
from service.http.app import create_app
from service.monitoring.telemetry import Telemetry
from service.run_directory import RunDirectory
from service.settings import Settings
from service.versions.shadows import Shadows

PREDICT, ROWS = "/v1/models/hand:predict", {"instances": [{"age": 9.5}]}


def test_a_shadow_is_asked_for_told_and_ended(tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    for version in (1, 2):
        hand_model(tmp_path / "models", "hand", version, seed=version)

    async def run(client: httpx.AsyncClient) -> None:
        state = "/v1/models/hand/shadow"
        assert (await client.get(state)).json()["active"] is False
        assert (await client.post("/v1/models/hand:shadow", json={"version": 2})).status_code == 409, (
            "it is the one that is served"
        )
        await client.post("/v1/models/hand:pin", json={"version": 1})
        by_default = await client.post("/v1/models/hand:shadow", json={"version": 2, "share": None})
        assert by_default.json()["share"] == 0.1
        started = await client.post("/v1/models/hand:shadow", json={"version": 2, "share": 1})
        assert started.json() == {"model": "hand", "shadow": 2, "share": 1}
        assert (await client.get("/v1/models/hand")).json()["shadow"] == 2
        assert (await client.post(PREDICT, json=ROWS)).headers["x-model-version"] == "1"
        while not (found := (await client.get(state)).json())["rows"]:
            await asyncio.sleep(0.005)
        assert (found["version"], found["shadow"], found["active"], found["share"]) == (1, 2, True, 1.0)
        assert found["tasks"]["price"]["disagreement"] is None
        assert found["tasks"]["sold"]["mean_absolute_difference"] > 0
        assert 0 < found["tasks"]["grade"]["gates"]["jensen_shannon"] < 1
        page = (await client.get("/metrics")).text
        assert 'mmoe_shadow_rows_total{model="hand",shadow="2",version="1"} 1.0' in page
        assert (await client.post("/v1/models/hand:shadow", json={"version": None})).json()["shadow"] is None
        ended = (await client.get(state)).json()
        assert (ended["active"], ended["rows"], ended["tasks"]) == (False, found["rows"], found["tasks"])
        for body in ({"version": 2, "share": 0}, {"version": 2, "share": "1"}, {"share": 0.5}, {"version": 2, "x": 1}):
            assert (await client.post("/v1/models/hand:shadow", json=body)).status_code == 400
        assert (await client.get("/v1/models/sensus/shadow")).status_code == 404

    async def serve(app: Any) -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await asyncio.wait_for(run(client), 60)

    with RunDirectory.create(1, tmp_path / "memory") as directory:
        settings = Settings(models=tmp_path / "models", local_admin=True, log_requests="off")
        telemetry = Telemetry(directory)
        engine = Engine(settings, telemetry, telemetry.recorder_of, shadows=Shadows(directory, 0))
        engine.catalogue.scan()
        asyncio.run(serve(create_app(engine, telemetry)))
        telemetry.close()
        engine.close()
