"""Real workers on one port: one truth whichever answers, a second's figures lost with a kill."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose
from prometheus_client.parser import text_string_to_metric_families

from service import gates
from tests.support.processes import children
from tests.support.server import Service, running

TASKS = ("price", "sold")
SETTLED_S = 2.5
"""More than two of the seconds after which a worker publishes what it has counted."""
ROW = {"age": 9.5, "height": 8.0, "colour": "red", "city": "Oslo"}


class Instance(NamedTuple):
    """A launcher with two workers."""

    service: Service
    memory: Path

    @property
    def workers(self) -> list[int]:
        """List the process ids of the workers that live now."""
        return children(self.service.process.pid)


@pytest.fixture
def instance(tmp_path: Path, hand_model: Callable[..., Path]) -> Iterator[Instance]:
    hand_model(tmp_path / "models", "hand", 1, tasks=TASKS)
    memory = tmp_path / "memory"
    settings = {"workers": "2", "local_admin": "true", "run_dir": str(memory), "poll_interval_s": "0"}
    with running(tmp_path / "models", **settings) as service:
        yield Instance(service, memory)
        assert service.end() == 0
    assert list(memory.iterdir()) == [], "the shared memory goes with the instance"


def connect(instance: Instance) -> httpx.AsyncClient:
    """Make a client that opens a connection for every call, so that any worker may answer."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=instance.service.url, trust_env=False, limits=limits)


async def predict(client: httpx.AsyncClient, age: float) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Predict one row; return its gate weights (T, E), or None where the connection broke."""
    try:
        answer = await client.post("/v1/predict", json={"instances": [{**ROW, "age": age}]})
    except httpx.TransportError:
        return None
    weights = answer.json()["predictions"][0]["gate_weights"]
    return np.array([weights[task] for task in TASKS])


async def metric(client: httpx.AsyncClient, name: str) -> float:
    """Add up a metric's samples."""
    page = (await client.get("/metrics")).text
    samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)


async def restart(client: httpx.AsyncClient) -> None:
    """Wait until a killed worker has been replaced."""
    restarted = workers = 0.0
    while not restarted or workers < 2:
        with contextlib.suppress(httpx.TransportError):  # a connection that was given to the dead worker
            restarted = await metric(client, "mmoe_worker_restarts_total")
            workers = await metric(client, "mmoe_workers")


async def load(client: httpx.AsyncClient, requests: int) -> list[Any]:
    """Send requests, eight at a time; return what each gave."""
    ages = iter(np.linspace(0, 20, requests).tolist())

    async def send() -> list[Any]:
        return [await predict(client, age) for age in ages]

    return [given for part in await asyncio.gather(*(send() for _ in range(8))) for given in part]


async def counted(client: httpx.AsyncClient, name: str, least: float) -> float:
    """Read a counter once every worker tells the same of at least so much, and goes on to.

    The figures of others are up to a second old, and one worker may answer many requests in a row.
    """
    alike, value, since = 0, -1.0, time.monotonic()
    while alike < 24 or time.monotonic() - since < SETTLED_S:
        again = await metric(client, name)
        if again != value or again < least:
            alike, value, since = 0, again, time.monotonic()
        alike += 1
    return value


async def everywhere(client: httpx.AsyncClient, path: str) -> list[Any]:
    """Ask over so many connections that every worker answers some of them."""
    return [(await client.get(path)).json() for _ in range(24)]


async def with_client(instance: Instance, run: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async with connect(instance) as client:
        await run(client)


def test_every_worker_tells_the_same_and_numpy_agrees(instance: Instance) -> None:
    async def run(client: httpx.AsyncClient) -> None:
        weights = np.array(await load(client, 240))
        assert await counted(client, "mmoe_gate_rows_total", 240) == 240
        for answer in await everywhere(client, "/v1/gates?window=5m"):
            assert answer["rows"] == 240
            for t, task in enumerate(TASKS):
                assert_allclose(answer["tasks"][task]["utilisation"], gates.utilisation(weights)[t], atol=1e-6)
        for _ in range(8):
            assert await metric(client, "mmoe_rows_total") == 240
            assert await metric(client, "mmoe_gate_rows_total") == 240
            assert await metric(client, "mmoe_workers") == 2

    asyncio.run(with_client(instance, run))


def test_a_killed_worker_takes_with_it_what_it_had_not_published(instance: Instance) -> None:
    async def run(client: httpx.AsyncClient) -> None:
        loading = asyncio.create_task(load(client, 400))
        while await metric(client, "mmoe_gate_rows_total") < 100:
            pass  # a request each time
        published = await metric(client, "mmoe_gate_rows_total")
        os.kill(instance.workers[0], signal.SIGKILL)
        given = await loading
        await restart(client)
        before = await counted(client, "mmoe_gate_rows_total", published)
        assert before <= len(given), "no row counts twice"
        more = await load(client, 80)
        assert all(weights is not None for weights in more)
        assert await counted(client, "mmoe_gate_rows_total", before + 80) == before + 80
        for answer in await everywhere(client, "/v1/gates?window=1h"):
            assert answer["rows"] == before + 80

    asyncio.run(with_client(instance, run))


def test_loading_and_unloading_reach_every_worker_and_outlive_one(instance: Instance) -> None:
    async def statuses(client: httpx.AsyncClient, wanted: int) -> None:
        alike = 0
        while alike < 24:  # in a row: every worker answers some of them
            answer = await client.post("/v1/predict", json={"instances": [ROW]})
            alike = alike + 1 if answer.status_code == wanted else 0

    async def run(client: httpx.AsyncClient) -> None:
        assert (await client.post("/v2/repository/models/hand/unload")).status_code == 200
        await statuses(client, 503)
        os.kill(instance.workers[0], signal.SIGKILL)
        await restart(client)
        await statuses(client, 503)
        assert (await client.post("/v2/repository/models/hand/load")).status_code == 200
        await statuses(client, 200)

    asyncio.run(with_client(instance, run))


def test_versions_are_followed_and_rolled_back_in_every_worker(
    instance: Instance, tmp_path: Path, hand_model: Callable[..., Path]
) -> None:
    async def serves(client: httpx.AsyncClient, version: str) -> None:
        alike = 0
        while alike < 24:  # in a row: every worker answers some of them
            with contextlib.suppress(httpx.TransportError):  # a connection that a dead worker held
                answer = await client.post("/v1/predict", json={"instances": [ROW]})
                alike = alike + 1 if answer.headers["x-model-version"] == version else 0

    def publish(version: int) -> None:
        made = hand_model(tmp_path / "aside", "hand", version, tasks=TASKS, seed=version)
        made.parent.rename(tmp_path / "models" / "hand" / str(version))

    async def run(client: httpx.AsyncClient) -> None:
        await load(client, 40)
        await counted(client, "mmoe_gate_rows_total", 40)
        publish(2)
        instance.service.process.send_signal(signal.SIGHUP)
        await serves(client, "2")
        asked = await counted(client, "mmoe_gate_rows_total", 41)
        before = await everywhere(client, "/v1/models/hand/versions/1/gates")
        assert len({answer["rows"] for answer in before}) == 1
        assert before[0]["rows"] >= 40, "what the version before did stays readable"
        since = await everywhere(client, "/v1/models/hand/gates")
        assert {(answer["version"], answer["rows"]) for answer in since} == {(2, since[0]["rows"])}, (
            "a window of its own"
        )
        assert before[0]["rows"] + since[0]["rows"] == asked
        publish(3)
        os.kill(instance.workers[1], signal.SIGHUP)
        await serves(client, "3")
        back = await client.post("/v1/models/hand:rollback")
        assert back.json() == {"model": "hand", "version": 2, "pinned": True}
        for _ in range(8):
            assert (await client.get("/v1/models/hand")).json()["pinned"] == 2
        os.kill(instance.workers[0], signal.SIGKILL)
        await restart(client)
        await serves(client, "2")
        assert (await client.post("/v1/models/hand:pin", json={"version": None})).status_code == 200
        await serves(client, "3")

    asyncio.run(with_client(instance, run))
