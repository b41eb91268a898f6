"""Models from an object store whose answers are late, wrong, cut off, old or none at all.

Every fault lasts while clients ask: no request fails, what is served is whole, the fault shows,
and what was published meanwhile is served when it is over.
"""

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.versions import serving_edits as edits
from service.versions.serving_file import ServingFile
from service.versions.store_place import StorePlace
from tests.support.hand_model import write_model
from tests.support.hand_questions import predictions
from tests.support.hand_weights import make_weights
from tests.support.load import Load, play
from tests.support.metrics import awaited, metric
from tests.support.object_store import Answer, Fault, ObjectStore, object_store
from tests.support.processes import children
from tests.support.server import Service, running

MOST = 12
MODEL = "hand/{}/model.onnx"


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as one:
        yield one


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """Make the files of so many versions, whose answers differ."""
    home = tmp_path_factory.mktemp("hand")
    return {v: write_model(home, "hand", v, seed=v).read_bytes() for v in range(1, MOST)}


class Shelf:
    """Service on the store, and the versions that were published."""

    def __init__(self, store: ObjectStore, files: dict[int, bytes], service: Service, cache: Path) -> None:
        self.store, self.service, self.cache = store, service, cache
        self._files = files
        self.version = 1

    def publish(self, version: int) -> None:
        """Publish past the proxy, as a trainer elsewhere does."""
        content, self.version = self._files[version], version
        self.store.put(MODEL.format(version), content, sha256=hashlib.sha256(content).hexdigest())

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.service.url}{path}", timeout=30, trust_env=False).json()

    def served(self) -> int:
        return int(self.get("/v1/models/hand")["version"])

    def problems(self) -> list[str]:
        """List what the service says against the model and its versions."""
        state = self.get("/v1/models/hand")
        return [said for said in (state["note"], *(version["reason"] for version in state["versions"])) if said]

    def up(self) -> float:
        return metric(self.service.url, "mmoe_store_up")

    def look(self) -> None:
        """Have the store looked at, and wait until it was."""
        httpx.post(f"{self.service.url}/v2/repository/models/hand/load", timeout=60, trust_env=False)


def settings(cache: Path, **changes: str) -> dict[str, str]:
    return {"poll_interval_s": "0.1", "models_cache": str(cache), "local_admin": "true", **changes}


@pytest.fixture(scope="module")
def shelf(store: ObjectStore, files: dict[int, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    cache, first = tmp_path_factory.mktemp("cache"), files[1]
    store.put(MODEL.format(1), first)
    with running(store.url, **settings(cache, workers="2")) as service:
        yield Shelf(store, files, service, cache)


def asks_for_model(method: str, path: str) -> bool:
    return method == "GET" and path.endswith("model.onnx")


def spoilt(spoil: Callable[[Answer], Answer], of: Callable[[str, str], bool] = asks_for_model) -> Fault:
    return lambda method, path, answer: spoil(answer) if of(method, path) else answer


FAULTS = {
    "500": spoilt(lambda answer: Answer(500, [], b"")),
    "cut off": spoilt(lambda answer: Answer(answer.status, answer.headers, answer.body[:999], len(answer.body))),
    "short": spoilt(lambda answer: Answer(answer.status, answer.headers, answer.body[:999])),
    "garbled": spoilt(lambda answer: Answer(answer.status, answer.headers, bytes(len(answer.body)))),
    "outage": spoilt(lambda answer: Answer(0, [], b"", dropped=True), lambda method, path: True),
}


def asking(shelf: Shelf, during: Callable[[], object]) -> None:
    """Ask for predictions while something happens in a thread; no request may fail."""

    async def scenario() -> None:
        weights = {version: make_weights(seed=version) for version in range(1, MOST)}
        load = Load(shelf.service.url, predictions("hand", weights, 1, count=8), connections=4, per_s=200)
        async with load:
            await asyncio.to_thread(during)
        assert set(load.statuses) == {200}
        assert (load.broken, load.unreached, load.wrong) == (0, 0, [])

    play(scenario())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_keeps_what_is_served_and_shows(shelf: Shelf, fault: str) -> None:
    before = shelf.version

    def during() -> None:
        shelf.store.proxy.fault = FAULTS[fault]
        shelf.publish(before + 1)
        assert awaited(shelf.up, 0.0) == 0.0
        state = shelf.get("/v1/models/hand")
        assert state["version"] == before
        assert "the store is not followed since" in state["note"]
        shelf.store.proxy.fault = None
        assert awaited(shelf.served, before + 1) == before + 1
        assert awaited(shelf.up, 1.0) == 1.0

    asking(shelf, during)
    assert awaited(shelf.problems, list[str]()) == []


def test_a_slow_store_holds_nobody_up(shelf: Shelf) -> None:
    before, came, go_on = shelf.version, threading.Event(), threading.Event()

    def hold(method: str, path: str, answer: Answer) -> Answer:
        if asks_for_model(method, path):
            came.set()
            go_on.wait(60)
        return answer

    def during() -> None:
        shelf.store.proxy.fault = hold
        shelf.publish(before + 1)
        assert came.wait(30)
        assert shelf.served() == before
        go_on.set()
        assert awaited(shelf.served, before + 1) == before + 1

    asking(shelf, during)
    shelf.store.proxy.fault = None


def test_an_old_list_takes_nothing_away(shelf: Shelf) -> None:
    before, proxy = shelf.version, shelf.store.proxy
    shelf.look()
    old = dict(proxy.lists)
    shelf.publish(before + 1)
    assert awaited(shelf.served, before + 1) == before + 1

    def during() -> None:
        proxy.fault = lambda method, path, answer: old.get(path, answer)
        for _ in range(3):
            shelf.look()
            assert shelf.served() == before + 1
        shelf.publish(before + 2)
        shelf.look()
        proxy.fault = None
        assert awaited(shelf.served, before + 2) == before + 2

    asking(shelf, during)


def test_a_pin_in_the_store_is_followed_and_a_call_writes_it_there(shelf: Shelf) -> None:
    newest = shelf.version
    file = ServingFile(StorePlace(shelf.store.url, "hand"))
    file.change(edits.pin(newest - 1, newest), "the test")
    assert awaited(shelf.served, newest - 1) == newest - 1
    answer = httpx.post(f"{shelf.service.url}/v1/models/hand:pin", json={"version": None}, timeout=60, trust_env=False)
    assert answer.status_code == 200
    assert shelf.served() == newest
    assert file.read().pinned is None
    assert file.read().change == 2


def test_what_the_store_has_no_more_goes_and_a_claim_is_no_version(shelf: Shelf) -> None:
    before = shelf.version
    shelf.store.put(f"hand/{before + 1}/claim.json", b"{}")
    shelf.store.delete(MODEL.format(before))
    assert awaited(shelf.served, before - 1) == before - 1
    shelf.publish(before)
    assert awaited(shelf.served, before) == before


def test_a_mirror_that_is_killed_is_replaced(shelf: Shelf) -> None:
    pid = next(p for p in children(shelf.service.process.pid) if b"--mirror" in Path(f"/proc/{p}/cmdline").read_bytes())
    before = shelf.version
    os.kill(pid, signal.SIGKILL)
    shelf.publish(before + 1)
    assert awaited(shelf.served, before + 1) == before + 1


def test_a_start_without_the_store_serves_the_copies_or_waits(shelf: Shelf, tmp_path: Path) -> None:
    proxy, url, newest = shelf.store.proxy, shelf.store.url, shelf.version
    warm, cold = settings(tmp_path / "warm"), settings(tmp_path / "cold")
    with running(url, **warm):
        pass
    proxy.fault = FAULTS["outage"]
    with running(url, **warm) as service:
        assert httpx.get(f"{service.url}/v1/models/hand", trust_env=False).json()["version"] == newest
    with running(url, **cold) as service:
        ready = httpx.get(f"{service.url}/health/ready", trust_env=False)
        assert ready.status_code == 503
        assert "the store is not followed since" in ready.text
        proxy.fault = None
        service.wait_for(f"Serving hand {newest} on")
