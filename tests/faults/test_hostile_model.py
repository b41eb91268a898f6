"""A model file whose load never ends.

Sound ones are served beside it, and nothing of it outlives its worker.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.effort import Effort
from tests.support.hand_model import write_model
from tests.support.hostile_model import write_endless, write_hungry
from tests.support.processes import alive, checkers, children, of_service, parent
from tests.support.server import Service, running

pytestmark = pytest.mark.alone


@pytest.fixture
def hostile(models: Path) -> Path:
    """Give a directory whose highest version of `hand` never ends.

    `other` has one sound version.
    """
    write_endless(models, "hand", 2)
    write_model(models, "other", 1)
    return models


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Give a client that makes a connection for every call, so that all workers are asked."""
    with httpx.Client(trust_env=False, headers={"Connection": "close"}) as made:
        yield made


def served(client: httpx.Client, service: Service, name: str) -> object:
    return client.get(f"{service.url}/v1/models/{name}").json()["version"]


def reason_of(client: httpx.Client, service: Service, version: int) -> str | None:
    versions = client.get(f"{service.url}/v1/models/hand").json()["versions"]
    return next((v["reason"] for v in versions if v["version"] == version), None)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sound_models_are_served_while_a_check_never_ends_and_workers_die(
    hostile: Path, effort: Effort, client: httpx.Client, measured: Callable[[str], None]
) -> None:
    began, slowest_s, replaced_s = time.monotonic(), 0.0, []
    with running(hostile, workers="2", check_timeout_s="600", poll_interval_s="0.1") as service:
        started_s = time.monotonic() - began
        for _ in range(effort.hostile_kills):
            until(lambda: checkers(hostile))
            (checker, *_) = checkers(hostile)
            began, victims = time.monotonic(), children(service.process.pid)
            for victim in victims:  # all of them: what comes after has nobody to learn from
                os.kill(victim, signal.SIGKILL)
            until(lambda: not alive(checker))  # noqa: B023 (called at once)
            for _ in victims:
                service.wait_for(r"Loaded hand 1")
            until(lambda: _answers(client, service))
            replaced_s.append(time.monotonic() - began)
            for _ in range(50):
                asked = time.monotonic()
                assert (served(client, service, "hand"), served(client, service, "other")) == (1, 1)
                assert client.get(f"{service.url}/health/ready").status_code == 200
                slowest_s = max(slowest_s, time.monotonic() - asked)
            assert reason_of(client, service, 2) == "it is being checked"
            assert len(checkers(hostile)) <= 2
        assert service.end() == 0
    until(lambda: not of_service(hostile))
    measured(
        f"ready after {started_s:.1f} s, again {max(replaced_s):.1f} s after both workers were killed "
        f"({effort.hostile_kills} times), three calls within {slowest_s * 1e3:.0f} ms"
    )


def _answers(client: httpx.Client, service: Service) -> bool:
    try:
        return client.get(f"{service.url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_a_load_that_never_ends_and_one_that_takes_all_memory_are_refused(hostile: Path, client: httpx.Client) -> None:
    write_hungry(hostile, "hand", 3)
    with running(hostile, workers="2", check_timeout_s="3", model_memory_bytes=str(200 << 20)) as service:
        until(lambda: "MMOE_CHECK_TIMEOUT_S" in (reason_of(client, service, 2) or ""))
        until(lambda: "MMOE_MODEL_MEMORY_BYTES" in (reason_of(client, service, 3) or ""))
        until(lambda: served(client, service, "hand") == 1)
        until(lambda: all(parent(pid) in children(service.process.pid) for pid in checkers(hostile)))
        assert service.end() == 0
    until(lambda: not of_service(hostile))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_can_be_ended_during_a_check_at_its_start(models: Path, workers: str) -> None:
    shutil.rmtree(models)
    write_endless(models, "hand", 1)
    patient = {"check_timeout_s": "600", "drain_timeout_s": "600"}  # nothing ends by itself in time
    service = Service(models, {"workers": workers, **patient})
    service.wait_for("Loading the models")
    until(lambda: checkers(models))
    assert service.end() == 0
    until(lambda: not of_service(models))


def test_a_worker_that_starts_when_all_files_are_gone_serves_what_the_others_serve(
    models: Path, client: httpx.Client
) -> None:
    with running(models, workers="2", poll_interval_s="0.05") as service:
        shutil.rmtree(models / "hand" / "1")
        until(lambda: "no longer on disk" in (client.get(f"{service.url}/v1/models/hand").json()["note"] or ""))
        for victim in children(service.process.pid):
            os.kill(victim, signal.SIGKILL)
            service.wait_for(r"Loaded hand 1")
            until(lambda: all(_answers(client, service) for _ in range(30)))
        assert {served(client, service, "hand") for _ in range(30)} == {1}
        write_model(models, "hand", 2)
        until(lambda: {served(client, service, "hand") for _ in range(30)} == {2})
        assert service.end() == 0
