"""Two services over one directory of models: what is served is one, and survives them both."""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from scripts.promote import main as promote
from tests.support.server import Service, running
from tests.support.v2 import inputs

ROW = {"instances": [{"age": 9.5, "height": 8.0, "colour": "red", "city": "Oslo"}]}
PREDICT = "/v1/models/hand:predict"
KEYS = [f"user-{number}" for number in range(16)]


class Asked(NamedTuple):
    """Answers to requests that went on all the time: what failed, and which versions answered."""

    failed: list[str]
    versions: set[str]


@pytest.fixture
def root(tmp_path: Path, hand_model: Callable[..., Path]) -> Path:
    for version in (1, 2, 3):
        hand_model(tmp_path / "models", "hand", version, seed=version)
    return tmp_path / "models"


@contextmanager
def replicas(root: Path) -> Iterator[list[Service]]:
    settings = {"poll_interval_s": "0.1", "local_admin": "true"}
    grpc = {"grpc_port": "0", "log_format": "json"} if importlib.util.find_spec("grpc") else {}
    with ExitStack() as stack:
        first = stack.enter_context(running(root, workers="2", **settings))
        yield [first, stack.enter_context(running(root, **settings, **grpc))]


@contextmanager
def asking(services: list[Service]) -> Iterator[Asked]:
    """Ask all services all the time, each on a connection that is kept."""
    ended, asked = threading.Event(), Asked([], set())

    def ask(url: str) -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            while not ended.is_set():
                answer = client.post(PREDICT, json=ROW)
                asked.versions.add(answer.headers.get("x-model-version", ""))
                if answer.status_code != 200:
                    asked.failed.append(answer.text)

    threads = [threading.Thread(target=ask, args=(service.url,)) for service in services]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Make a connection for every call, so that any worker may answer."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(timeout=60, trust_env=False, limits=limits) as made:
        yield made


def serves(client: httpx.Client, service: Service, **expected: object) -> None:
    """Wait until a service describes its model so, whichever worker answers."""
    alike = 0
    while alike < 8:
        model = client.get(f"{service.url}/v1/models/hand").json()
        alike = alike + 1 if {key: model[key] for key in expected} == expected else 0


def met(client: httpx.Client, service: Service) -> list[int]:
    """Return the versions that the keys meet, by each call the same."""
    calls, found = ((PREDICT, ROW), ("/v2/models/hand/infer", {"inputs": inputs()})), []
    for key in KEYS:
        answers = [client.post(service.url + path, json=body, headers={"X-Canary-Key": key}) for path, body in calls]
        (version,) = {answer.headers["x-model-version"] for answer in answers}
        found.append(int(version))
    return found


def met_by_grpc(service: Service) -> list[int]:
    from tests.support.grpc_calls import both, calling, place

    with calling(place(service)) as call:
        asked = {"model_name": "hand", "inputs": both()}
        return [int(call("ModelInfer", (("x-canary-key", key),), **asked).model_version) for key in KEYS]


def test_what_is_served_is_one_over_all_replicas_and_survives_them(
    root: Path, client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    with replicas(root) as services:
        with asking(services) as asked:
            assert promote([str(root / "hand"), "2", "--reason", "3 is worse on price"]) == 0
            for service in services:
                serves(client, service, version=2, pinned=2)
            said = capsys.readouterr().out
            assert "before: version 3 is served, the highest\nnow:    version 2 is served, pinned; since 20" in said
            assert client.post(f"{services[0].url}/v1/models/hand:rollback").json()["version"] == 1
            for service in services:
                serves(client, service, version=1, pinned=1)
            assert promote([str(root / "hand"), "3", "--canary", "0.3"]) == 0
            for service in services:
                serves(client, service, version=1, canary={"version": 3, "share": 0.3})
            before = met(client, services[0])
            assert before == met(client, services[1])
            if importlib.util.find_spec("grpc"):
                assert before == met_by_grpc(services[1])
            asked_for = client.post(f"{services[1].url}/v1/models/hand:canary", json={"version": 3, "share": 0.6})
            assert asked_for.status_code == 200
            for service in services:
                serves(client, service, canary={"version": 3, "share": 0.6})
            after = met(client, services[1])
            assert after == met(client, services[0])
            assert {1, 3} == set(before) == set(after)
            assert all(one <= other for one, other in zip(before, after, strict=True)), "no key leaves the canary"
            assert before != after
        assert asked.failed == []
        assert asked.versions == {"1", "2", "3"}
    with replicas(root) as services:
        for service in services:
            serves(client, service, version=1, pinned=1, canary={"version": 3, "share": 0.6})
            assert met(client, service) == after
