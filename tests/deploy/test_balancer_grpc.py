"""Calls over gRPC through the balancer's configuration in a real nginx, to two real services."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.balancer import write_config
from tests.support.metrics import awaited, metric
from tests.support.server import Service, running

pytest.importorskip("grpc", reason="the extra grpc is not installed")

from tests.support.grpc_calls import Caller, both, calling, place, raw_both
from tests.support.hand_model import write_model

CLIENTS, BEFORE, AFTER = 4, 50, 200
"""Connections that ask all the time; answers before a replica is told to end, and after."""


class Balanced(NamedTuple):
    """Balancer's address for gRPC, and the replicas behind it."""

    address: str
    replicas: list[Service]


@pytest.fixture(scope="module")
def balanced(
    start_program: Callable[..., Any],
    program: Callable[[str, str], str],
    port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Balanced]:
    nginx, directory = program("nginx", "nginx"), tmp_path_factory.mktemp("nginx")
    models = tmp_path_factory.mktemp("models")
    write_model(models, "hand", 1)
    settings = {"grpc_port": "0", "drain_delay_s": "0.5", "default_model": "hand"}
    with running(models, **settings) as a, running(models, **settings) as b:
        http, grpc = port(), port()
        theirs = [int(place(replica).rpartition(":")[2]) for replica in (a, b)]
        conf = write_config(directory, http, [a.port, b.port], (grpc, theirs))
        root = "user root;" if os.geteuid() == 0 else ""
        command = [nginx, "-e", "stderr", "-c", str(conf), "-g", f"daemon off; {root}"]
        with start_program(command, f"http://127.0.0.1:{http}", "/health/ready", directory / "log"):
            yield Balanced(f"127.0.0.1:{grpc}", [a, b])


@pytest.fixture
def call(balanced: Balanced) -> Iterator[Caller]:
    with calling(balanced.address) as made:
        yield made


def test_calls_of_one_connection_are_shared_out(balanced: Balanced, call: Caller) -> None:
    for _ in range(20):
        assert call("ModelInfer", model_name="hand", inputs=both()).model_name == "hand"
    for replica in balanced.replicas:
        assert metric(replica.url, "mmoe_requests_total", route="grpc_infer", status="200") > 0
    answer = call("ModelInfer", metadata=[("x-request-id", "order-7")], model_name="hand", **raw_both())
    assert answer.raw_output_contents
    assert call.trailing["x-request-id"] == "order-7"


def test_errors_are_the_service_s_and_a_message_may_be_large(call: Caller) -> None:
    assert call("ModelInfer", model_name="nobody", inputs=both()) is None
    assert (call.code, "nobody" in call.said) == ("NOT_FOUND", True)
    large = {"name": "numeric", "datatype": "FP32", "shape": [1, 3], "contents": {"fp32_contents": [0.0] * 2_000_000}}
    assert call("ModelInfer", model_name="hand", inputs=[large]) is None
    assert call.code == "INVALID_ARGUMENT", "8 MB have reached a replica, which counts the values"


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_what_concerns_one_replica_is_not_passed_on(call: Caller, method: str) -> None:
    assert call(method, model_name="hand") is None
    assert (call.code, "one replica only" in call.said) == ("PERMISSION_DENIED", True)


def test_a_replica_that_ends_under_load_costs_a_call_a_second_try_at_most(balanced: Balanced) -> None:
    seen: Counter[str] = Counter()
    enough = threading.Event()

    def ask() -> None:
        with calling(balanced.address) as own:
            while not enough.is_set():
                tries = [own("ModelInfer", model_name="hand", inputs=both()) is not None]
                if not tries[0]:
                    seen[own.code] += 1
                    tries.append(own("ModelInfer", model_name="hand", inputs=both()) is not None)
                seen["OK" if tries[-1] else f"again {own.code}"] += 1

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        assert awaited(lambda: seen.total() > BEFORE, True)
        assert balanced.replicas[0].end() == 0
        after = seen.total() + AFTER
        assert awaited(lambda: seen.total() > after, True)
    finally:
        enough.set()
        for client in clients:
            client.join()
    assert seen.keys() <= {"OK", "UNAVAILABLE", "CANCELLED"}
    assert seen.total() - seen["OK"] <= 2 * CLIENTS, "those that met the replica in its last moment"


def test_without_replicas_calls_are_unavailable(balanced: Balanced, call: Caller) -> None:
    for replica in balanced.replicas:
        assert replica.end() == 0
    assert call("ModelInfer", model_name="hand", inputs=both()) is None
    assert (call.code, "No replica" in call.said) == ("UNAVAILABLE", True)
