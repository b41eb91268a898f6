"""Methods of the service but for ModelInfer: server, models, repository. Parse, call, answer."""

from collections.abc import Mapping
from typing import Any

from service.errors import MalformedRequest, NotReady, ServiceError
from service.grpc.calls import PREDICTIONS, GrpcCall, Method
from service.grpc.infer import ModelInfer, asked
from service.grpc.messages import MESSAGES
from service.http.app import Shared
from service.http.codecs.v2_metadata import describe_model, describe_server
from service.http.routes.admin import index_entries
from service.system.quoting import quotes
from service.versions.commands import VersionCommands


def methods(shared: Shared) -> Mapping[str, Method]:
    """Return the methods of the Open Inference Protocol's service by name."""
    infer, server = ModelInfer(shared.engine, shared.endpoints, shared.admission), _Server(shared)

    def method(route: str, needs: Any, name: str) -> Method:
        return Method(route, needs, MESSAGES[f"{name}Request"], getattr(server, name))

    return {
        "ModelInfer": Method(PREDICTIONS, "predict", None, infer),
        **{name: method("health", "nothing", name) for name in ("ServerLive", "ServerReady")},
        **{name: method("grpc", "predict", name) for name in ("ServerMetadata", "ModelReady", "ModelMetadata")},
        "RepositoryIndex": method("admin", "predict", "RepositoryIndex"),
        **{name: method("admin", "admin", name) for name in ("RepositoryModelLoad", "RepositoryModelUnload")},
    }


class _Server:
    """Answers of the methods, named as the protocol names them."""

    def __init__(self, shared: Shared) -> None:
        self._engine, self._endpoints = shared.engine, shared.endpoints
        self._commands = VersionCommands(shared.reconciler)

    async def ServerLive(self, call: GrpcCall, message: Any) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    async def ServerReady(self, call: GrpcCall, message: Any) -> Any:
        try:
            self._engine.check_ready()
        except NotReady:
            return MESSAGES["ServerReadyResponse"](ready=False)
        return MESSAGES["ServerReadyResponse"](ready=True)

    async def ServerMetadata(self, call: GrpcCall, message: Any) -> Any:
        return MESSAGES["ServerMetadataResponse"](**describe_server())

    async def ModelReady(self, call: GrpcCall, message: Any) -> Any:
        """Tell whether a model answers; one that there is not does not."""
        call.asked = asked(message.name, message.version)
        try:
            self._endpoints.get(*call.asked)
        except ServiceError:
            return MESSAGES["ModelReadyResponse"](ready=False)
        return MESSAGES["ModelReadyResponse"](ready=True)

    async def ModelMetadata(self, call: GrpcCall, message: Any) -> Any:
        call.asked = asked(message.name, message.version)
        return MESSAGES["ModelMetadataResponse"](**describe_model(self._engine, self._endpoints.get(*call.asked)))

    async def RepositoryIndex(self, call: GrpcCall, message: Any) -> Any:
        entries = [entry for model in self._engine.models() for entry in index_entries(model)]
        wanted = [entry for entry in entries if entry["state"] == "READY" or not message.ready]
        return MESSAGES["RepositoryIndexResponse"](models=wanted)

    async def RepositoryModelLoad(self, call: GrpcCall, message: Any) -> Any:
        name = _named(call, message)
        await self._commands.load(name)
        return MESSAGES["RepositoryModelLoadResponse"](model_name=name, isLoaded=True)

    async def RepositoryModelUnload(self, call: GrpcCall, message: Any) -> Any:
        name = _named(call, message)
        await self._commands.unload(name)
        return MESSAGES["RepositoryModelUnloadResponse"](model_name=name, isUnloaded=True)


def _named(call: GrpcCall, message: Any) -> str:
    """Return the model that an admin call names, as KServe does or as Triton.

    Raises:
        MalformedRequest: it names none, or brings parameters, such as Triton's `config`.
    """
    name: str = message.triton_name or message.model_name
    if not name:
        raise MalformedRequest("the message names no model", "its name in model_name")
    unknown = [key for key in message.parameters if key != "unload_dependents"]
    if unknown:
        raise MalformedRequest(f"the message has the parameters {quotes(unknown)}", "none: models are loaded from disk")
    call.asked = name, None
    return name
