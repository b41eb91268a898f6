"""All methods but ModelInfer: server, models, repository, health; and who may call them."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.grpc.messages import MESSAGES, NOT_SERVING, SERVING
from service.keys import line_of, new_key
from tests.support.grpc_calls import Caller, both, calling, place
from tests.support.hand_model import write_model
from tests.support.metrics import awaited, metric
from tests.support.server import running

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"


def health(body: bytes | None) -> int | None:
    return None if body is None else int(MESSAGES["HealthCheckResponse"].FromString(body).status)


def asked_health(service: str) -> bytes:
    return bytes(MESSAGES["HealthCheckRequest"](service=service).SerializeToString())


def test_server_and_models_describe_themselves_as_over_http(call: Caller, client: httpx.Client) -> None:
    server, model = client.get("/v2").json(), client.get("/v2/models/hand").json()
    found = call("ServerMetadata")
    server["extensions"] = server["extensions"][:2]  # the others are calls of HTTP alone
    assert {"name": found.name, "version": found.version, "extensions": list(found.extensions)} == server
    described = call("ModelMetadata", name="hand", version="")
    tensors = {
        part: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(described, part)]
        for part in ("inputs", "outputs")
    }
    head = {"name": described.name, "versions": list(described.versions), "platform": described.platform}
    assert head | tensors == model
    assert call("ModelMetadata", name="nobody") is None
    assert call.code == "NOT_FOUND"


def test_probes_answer(call: Caller) -> None:
    assert call("ServerLive").live
    assert call("ServerReady").ready
    assert [call("ModelReady", name=name).ready for name in ("hand", "wide", "nobody")] == [True, True, False]
    assert call("ModelReady", name="hand", version="1").ready
    assert not call("ModelReady", name="hand", version="7").ready
    assert [health(call.send(CHECK, asked_health(name))) for name in ("", "inference.GRPCInferenceService")] == [
        SERVING,
        SERVING,
    ]
    assert call.send(CHECK, asked_health("nobody")) is None
    assert call.code == "NOT_FOUND"


def test_the_index_lists_every_version(call: Caller, client: httpx.Client) -> None:
    index = client.post("/v2/repository/index").json()
    keys = ("name", "version", "state", "reason")
    for ready in (False, True):
        found = [{key: getattr(one, key) for key in keys} for one in call("RepositoryIndex", ready=ready).models]
        assert found == index


def test_a_call_that_there_is_not_is_said_so(call: Caller) -> None:
    assert call.send("/inference.GRPCInferenceService/ModelConfig", b"") is None
    assert call.code == "UNIMPLEMENTED"
    assert call.said.startswith("There is no call '/inference.GRPCInferenceService/ModelConfig'")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    write_model(root, "hand", 1)
    return root


@pytest.mark.parametrize("field", ["model_name", "triton_name"])
def test_models_are_loaded_and_unloaded_by_name(own: Path, field: str) -> None:
    with running(own, grpc_port="0", local_admin="true", workers="2") as service, calling(place(service)) as call:
        named: dict[str, Any] = {field: "hand"}
        answer = call("RepositoryModelUnload", **named)
        assert (answer.model_name, answer.isUnloaded) == ("hand", True)
        assert not call("ModelReady", name="hand").ready
        assert call("ModelInfer", model_name="hand", inputs=both()) is None
        assert (call.code, call.trailing["retry-after"]) == ("UNAVAILABLE", "1")
        answer = call("RepositoryModelLoad", **named)
        assert (answer.model_name, answer.isLoaded) == ("hand", True)
        assert call("ModelInfer", model_name="hand", inputs=both()) is not None
        assert call("RepositoryModelLoad") is None
        assert (call.code, call.said) == (
            "INVALID_ARGUMENT",
            "The message names no model. Expected its name in model_name.",
        )
        assert call("RepositoryModelLoad", **named, parameters={"config": {"string_param": "{}"}}) is None
        assert "has the parameters 'config'" in call.said
        named[field] = "nobody"
        assert call("RepositoryModelLoad", **named) is None
        assert call.code == "NOT_FOUND"
        counted = {"route": "admin", "status": "404"}  # published by the worker that answered, within a second
        assert awaited(lambda: metric(service.url, "mmoe_requests_total", **counted), 1.0) == 1


@pytest.fixture
def keyed(own: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Give a function that starts a service with keys; it returns a caller, and keys by role."""
    keys = {"predict": new_key(), "admin": new_key()}
    (tmp_path / "keys").write_text("\n".join(line_of(role, role, key) for role, key in keys.items()))  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:

        def start(**settings: str) -> tuple[Caller, dict[str, str]]:
            service = stack.enter_context(running(own, grpc_port="0", keys_file=str(tmp_path / "keys"), **settings))
            return stack.enter_context(calling(place(service))), keys

        yield start


def test_keys_by_metadata_have_the_same_roles(keyed: Callable[..., Any]) -> None:
    call, keys = keyed()
    bearer = {role: (("authorization", f"Bearer {key}"),) for role, key in keys.items()}
    assert call("ServerLive").live
    assert call("ServerReady").ready
    assert health(call.send(CHECK, b"")) == SERVING
    for method in ("ServerMetadata", "ModelMetadata", "ModelReady", "RepositoryIndex", "ModelInfer"):
        assert call(method) is None
        assert (call.code, call.said[:28]) == ("UNAUTHENTICATED", "The request has no API key. ")
    assert call("ServerMetadata", (("x-api-key", "mmoe_wrong"),)) is None
    assert (call.code, call.said[:27]) == ("UNAUTHENTICATED", "The request has an API key ")
    assert call("ServerMetadata", (("x-api-key", keys["predict"]),)) is not None
    assert call("ModelInfer", bearer["predict"], model_name="hand", inputs=both()) is not None
    assert call("RepositoryModelLoad", bearer["predict"], model_name="hand") is None
    assert (call.code, call.said[:46]) == ("PERMISSION_DENIED", "This call needs a key of the role 'admin'; the")
    assert call("RepositoryModelLoad", bearer["admin"], model_name="hand") is not None
    for _ in range(30):
        assert call("ServerMetadata", (("x-api-key", "mmoe_wrong"),)) is None
    assert call.code == "RESOURCE_EXHAUSTED"
    assert int(call.trailing["retry-after"]) >= 1
    assert call("ServerMetadata", (("x-api-key", keys["predict"]),)) is not None


def test_with_a_second_port_admin_calls_are_answered_there_alone(keyed: Callable[..., Any]) -> None:
    call, keys = keyed(operation_port="0")
    assert call("RepositoryModelLoad", (("x-api-key", keys["admin"]),), model_name="hand") is None
    assert call.code == "PERMISSION_DENIED"
    assert "MMOE_OPERATION_PORT" in call.said


def test_without_keys_nobody_changes_the_service(call: Caller) -> None:
    assert call("RepositoryModelUnload", model_name="hand") is None
    assert (call.code, call.said[:41]) == ("PERMISSION_DENIED", "This call needs a key of the role 'admin'")


def test_whoever_watches_is_told_when_the_service_drains(own: Path) -> None:
    with running(own, grpc_port="0", drain_delay_s="0") as service, calling(place(service)) as call:
        watching = call.channel.unary_stream(WATCH)(b"")
        assert health(next(watching)) == SERVING
        service.process.send_signal(signal.SIGTERM)
        assert [health(one) for one in watching] == [NOT_SERVING]
        assert service.end() == 0
