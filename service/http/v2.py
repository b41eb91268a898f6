"""The Open Inference Protocol v2 but for `infer`, which is on the hot path: server, models, health, repository."""

import asyncio
import contextlib
import json
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response

from service.engine import Engine
from service.errors import ArtifactError, MalformedRequest, ModelNotFound, NotReady, ServiceError
from service.http.body import read_body
from service.http.endpoint import Endpoint, Endpoints
from service.http.models import Name, Version
from service.http.rows import load_object

SERVER = "mmoe-serve"
EXTENSIONS = ["binary_tensor_data", "model_repository"]
PLATFORM = "onnx_onnxv1"


def v2_router(engine: Engine, endpoints: Endpoints) -> APIRouter:
    """Make the protocol's routes that describe the server and its models."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])

    @router.get("", summary="Server metadata")
    @router.get("/", include_in_schema=False)
    async def server() -> dict[str, Any]:
        """Name the server and the extensions it speaks."""
        return {"name": SERVER, "version": metadata.version(SERVER), "extensions": EXTENSIONS}

    @router.get("/health/live", summary="Server live")
    async def live() -> dict[str, bool]:
        """Answer 200 as long as the event loop turns."""
        with contextlib.suppress(NotReady):
            engine.check_ready()
            return {"live": True, "ready": True}
        return {"live": True, "ready": False}

    @router.get("/health/ready", summary="Server ready")
    async def ready() -> dict[str, bool]:
        """Answer 200 when requests may be sent here, else 503."""
        engine.check_ready()
        return {"live": True, "ready": True}

    @router.get("/models", summary="Models")
    async def models() -> dict[str, list[str]]:
        """List the models that are served."""
        return {"models": [state.name for state in engine.models() if state.ready]}

    @router.get("/models/{name}", summary="Model metadata")
    async def model(name: Name) -> dict[str, Any]:
        """Describe a model's tensors; its features stand in their columns in manifest order."""
        return _describe(engine, endpoints.get(name))

    @router.get("/models/{name}/versions/{version}", summary="Model metadata of a version")
    async def model_version(name: Name, version: Version) -> dict[str, Any]:
        """Describe the tensors of a loaded version."""
        return _describe(engine, endpoints.get(name, version))

    @router.get("/models/{name}/ready", summary="Model ready")
    async def model_ready(name: Name) -> dict[str, Any]:
        """Answer 200 when the model answers."""
        return {"name": endpoints.get(name).model.name, "ready": True}

    @router.get("/models/{name}/versions/{version}/ready", summary="Version ready")
    async def version_ready(name: Name, version: Version) -> dict[str, Any]:
        """Answer 200 when the version answers."""
        return {"name": endpoints.get(name, version).model.name, "ready": True}

    return router


def repository_router(engine: Engine) -> APIRouter:
    """Make the routes of the model repository extension."""
    router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol v2"])
    one_at_a_time = asyncio.Lock()

    @router.post("/index", summary="Repository index")
    async def index(request: Request) -> list[dict[str, str]]:
        """List every version on disk and its state; `{"ready": true}` lists those that answer."""
        body = await read_body(dict(request.scope["headers"]), request.receive, engine.settings)
        only_ready = load_object(body, '{"ready": true}, or nothing').get("ready", False) if body else False
        if type(only_ready) is not bool:
            raise MalformedRequest(f'"ready" is {json.dumps(only_ready)[:40]}', "true or false")
        entries = [
            {
                "name": model.name,
                "version": str(version.version),
                "state": "READY" if version.state == "loaded" else "UNAVAILABLE",
                "reason": version.reason or ("" if version.state == "loaded" else "not loaded"),
            }
            for model in engine.models()
            for version in model.versions
        ]
        return [entry for entry in entries if entry["state"] == "READY" or not only_ready]

    @router.post("/models/{name}/load", summary="Load a model")
    async def load(name: Name) -> Response:
        """Look at the disk and load what is new; 200 when the model then answers."""
        async with one_at_a_time:
            await asyncio.to_thread(engine.scan)
        try:
            engine.get(name)
        except ModelNotFound:
            raise
        except ServiceError as error:
            raise ArtifactError(str(error), "Look at the index for the reason") from None
        return Response(status_code=200)

    return router


def _describe(engine: Engine, endpoint: Endpoint) -> dict[str, Any]:
    model = endpoint.model
    versions = next((state.versions for state in engine.models() if state.name == model.name), ())
    return {
        "name": model.name,
        "versions": [str(version.version) for version in versions if version.state == "loaded"],
        "platform": PLATFORM,
        **endpoint.signature.describe(),
    }
