"""The Open Inference Protocol v2 but for `infer`, which is on the hot path.

Server, models, health.
"""

import contextlib

from fastapi import APIRouter, Response

from service.engine import Engine
from service.errors import NotReady
from service.http.codecs.endpoint import Endpoints
from service.http.codecs.render import JsonAnswer
from service.http.codecs.v2_metadata import describe_model, describe_server
from service.http.openapi.protocol import ModelMetadata, ModelNames, ModelReady, ServerHealth, ServerMetadata
from service.http.openapi.typed import answers
from service.http.types import PathName, PathVersion

_OF_HTTP = "model_configuration", "statistics"
"""Extensions of Triton's that triton.py adds."""


def v2_router(engine: Engine, endpoints: Endpoints) -> APIRouter:
    """Make the protocol's routes that describe the server and its models."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])

    @router.get("", summary="Server metadata", responses=answers(ServerMetadata))
    @router.get("/", include_in_schema=False)
    async def server() -> Response:
        """Name the server and the extensions it speaks."""
        return JsonAnswer(describe_server(*_OF_HTTP))

    @router.get("/models", summary="Models", responses=answers(ModelNames))
    async def models() -> Response:
        """List the models that are served."""
        return JsonAnswer(ModelNames(models=[state.name for state in engine.models() if state.ready]))

    @router.get("/models/{name}", summary="Model metadata", responses=answers(ModelMetadata, 404, 503))
    async def model(name: PathName) -> Response:
        """Describe a model's tensors; its features stand in their columns in manifest order."""
        return JsonAnswer(describe_model(engine, endpoints.get(name)))

    @router.get(
        "/models/{name}/versions/{version}",
        summary="Model metadata of a version",
        responses=answers(ModelMetadata, 400, 404, 503),
    )
    async def model_version(name: PathName, version: PathVersion) -> Response:
        """Describe the tensors of a loaded version."""
        return JsonAnswer(describe_model(engine, endpoints.get(name, version)))

    @router.get("/models/{name}/ready", summary="Model ready", responses=answers(ModelReady, 404, 503))
    async def model_ready(name: PathName) -> Response:
        """Answer 200 when the model answers."""
        return JsonAnswer(ModelReady(name=endpoints.get(name).model.name, ready=True))

    @router.get(
        "/models/{name}/versions/{version}/ready",
        summary="Version ready",
        responses=answers(ModelReady, 400, 404, 503),
    )
    async def version_ready(name: PathName, version: PathVersion) -> Response:
        """Answer 200 when the version answers."""
        return JsonAnswer(ModelReady(name=endpoints.get(name, version).model.name, ready=True))

    return router


def v2_health_router(engine: Engine) -> APIRouter:
    """Make the protocol's probes of the server."""
    router = APIRouter(prefix="/v2/health", tags=["Open Inference Protocol v2"])

    @router.get("/live", summary="Server live", responses=answers(ServerHealth))
    async def live() -> Response:
        """Answer 200 as long as the event loop turns."""
        with contextlib.suppress(NotReady):
            engine.check_ready()
            return JsonAnswer(ServerHealth(live=True, ready=True))
        return JsonAnswer(ServerHealth(live=True, ready=False))

    @router.get("/ready", summary="Server ready", responses=answers(ServerHealth, 503))
    async def ready() -> Response:
        """Answer 200 when requests may be sent here, else 503."""
        engine.check_ready()
        return JsonAnswer(ServerHealth(live=True, ready=True))

    return router
