"""Server on a loop of the test's own process: what it answers and refuses, and that it ends."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Engine
from service.grpc.messages import MESSAGES, SERVING
from service.grpc.server import GrpcServer
from service.http.app import create_apps
from service.monitoring.telemetry import Telemetry
from service.run_directory import RunDirectory
from service.settings import Settings
from service.workers.sockets import bind_all
from tests.support.grpc_calls import Caller, both, calling, categorical, numeric, outputs, raw_both
from tests.support.hand_model import write_model

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
MOST_BYTES = 20_000
Serve = Callable[[Callable[[Caller], None]], None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Give a function that serves `hand` while a caller, in a thread, asks."""
    write_model(tmp_path / "models", "hand", 1)
    settings = Settings(
        models=tmp_path / "models",
        host="127.0.0.1",
        port=0,
        grpc_port=0,
        local_admin=True,
        max_rows=50,
        max_body_bytes=MOST_BYTES,
    )
    with RunDirectory.create(1, tmp_path / "memory") as directory:
        telemetry = Telemetry(directory)
        engine = Engine(settings, telemetry, telemetry.recorder_of)
        engine.catalogue.scan()

        async def answer(ask: Callable[[Caller], None]) -> None:
            ports, shared = bind_all(settings), create_apps(engine, telemetry).shared
            assert ports.grpc is not None
            server = GrpcServer(shared, ports.grpc, 1)
            await server.start()
            try:
                with calling("{}:{}".format(*ports.grpc.getsockname())) as call:
                    await asyncio.to_thread(ask, call)
            finally:
                for ending in shared.endings:
                    await ending()
                shared.journal.close()
                for port in ports.all:
                    port.close()

        yield lambda ask: asyncio.run(answer(ask))
        telemetry.close()
        engine.close()


def status(body: bytes | None) -> int:
    assert body is not None
    return int(MESSAGES["HealthCheckResponse"].FromString(body).status)


def test_rows_are_answered_alike_in_contents_and_raw_bytes(serve: Serve) -> None:
    def ask(call: Caller) -> None:
        found = call("ModelInfer", model_name="hand", id="7", inputs=both())
        assert (found.model_version, found.id) == ("1", "7")
        raw = outputs(call("ModelInfer", model_name="hand", **raw_both()))
        weights = raw["gate_weights"]
        np.testing.assert_allclose(weights.sum(-1), np.ones(weights.shape[:-1]), atol=1e-6)
        for name, values in outputs(found).items():
            np.testing.assert_array_equal(values, raw[name])
        names = ("age", "height", "balance")
        entries = [numeric([[0.5], [1.5]], name=name, shape=[2]) for name in names]
        cities = [categorical([["Oslo"], [""]]) | {"name": name, "shape": [2, 1]} for name in ("city", "colour")]
        chosen = call("ModelInfer", inputs=[*entries, *cities], outputs=[{"name": "price"}])
        assert list(outputs(chosen)) == ["price"]

    serve(ask)


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"model_name": "nobody", "inputs": both()}, "NOT_FOUND", "nobody"),
        ({"model_version": "one", "inputs": both()}, "INVALID_ARGUMENT", "a whole number from 1"),
        ({"inputs": [numeric([[1.0, 2.0]] * 2), categorical()]}, "INVALID_ARGUMENT", "numeric"),
        ({"inputs": [numeric(datatype="FP16"), categorical()]}, "INVALID_ARGUMENT", "FP16"),
        ({"inputs": [numeric(datatype="INT8"), categorical()]}, "INVALID_ARGUMENT", "numeric"),
        ({"inputs": [numeric([[1.0, 2.0, 3.0]] * 51), categorical([["red", "Oslo"]] * 51)]}, "INVALID_ARGUMENT", "50"),
        (raw_both() | {"raw_input_contents": [b"1234"]}, "INVALID_ARGUMENT", "raw_input_contents"),
    ],
)
def test_refusals_have_a_status_and_a_sentence(serve: Serve, fields: dict[str, Any], code: str, said: str) -> None:
    def ask(call: Caller) -> None:
        assert call("ModelInfer", **fields) is None
        assert call.code == code
        assert said in call.said

    serve(ask)


def test_messages_that_are_none_or_too_large_and_calls_that_there_are_not_are_refused(serve: Serve) -> None:
    def ask(call: Caller) -> None:
        place = "/inference.GRPCInferenceService/"
        assert call.send(place + "ModelMetadata", b"\xff\xff") is None
        assert call.code == "INVALID_ARGUMENT"
        assert call.send(place + "ModelInfer", b"\x00" * (MOST_BYTES + 1)) is None
        assert call.code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
        assert call.send(place + "ModelDance", b"") is None
        assert call.code == "UNIMPLEMENTED"

    serve(ask)


def test_server_models_and_repository_answer(serve: Serve) -> None:
    def ask(call: Caller) -> None:
        assert call("ServerLive", metadata=[("x-request-id", "mine")]).live
        assert call.trailing["x-request-id"] == "mine"
        assert call("ServerReady").ready
        assert list(call("ServerMetadata").extensions)
        assert [call("ModelReady", name=name).ready for name in ("hand", "nobody")] == [True, False]
        assert [tensor.name for tensor in call("ModelMetadata", name="hand").inputs] == ["numeric", "categorical"]
        assert [(found.name, found.state) for found in call("RepositoryIndex").models] == [("hand", "READY")]
        assert call("RepositoryModelLoad", model_name="hand").isLoaded
        assert call("RepositoryModelUnload") is None
        assert call.code == "INVALID_ARGUMENT"
        assert call("RepositoryModelUnload", model_name="hand").isUnloaded
        assert not call("ModelReady", name="hand").ready

    serve(ask)


def test_health_is_told_once_and_watched_until_the_end(serve: Serve) -> None:
    watched: list[int] = []

    def ask(call: Caller) -> None:
        everything = MESSAGES["HealthCheckRequest"](service="").SerializeToString()
        assert status(call.send(CHECK, everything)) == SERVING
        assert call.send(CHECK, MESSAGES["HealthCheckRequest"](service="nobody").SerializeToString()) is None
        assert call.code == "NOT_FOUND"
        stream = call.channel.unary_stream(WATCH)(everything, timeout=30)
        watched.append(status(next(stream)))
        stream.cancel()

    serve(ask)
    assert watched == [SERVING]
