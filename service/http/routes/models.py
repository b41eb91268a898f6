"""`GET /v1/models...`: what there is, what is loaded, and the manifest. And the probes."""

from fastapi import APIRouter, HTTPException, Response

from service.artifact.manifest import Manifest
from service.engine import Engine
from service.errors import ServiceError
from service.http.codecs.render import JsonAnswer
from service.http.openapi.answers import Model, Models, OneModel, OneVersion, ServingState, VersionEntry, VersionShare
from service.http.openapi.protocol import Live, Ready
from service.http.openapi.typed import answers
from service.http.types import PathName, PathVersion
from service.versions.states import Canary, ModelState, VersionState


def models_router(engine: Engine) -> APIRouter:
    """Make the routes that describe the models."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="All models", responses=answers(Models))
    async def models() -> Response:
        """List the models on disk, which of their versions are loaded, and why others are not."""
        return JsonAnswer(Models(models=[_describe(engine, state) for state in engine.models()]))

    @router.get("/v1/models/{name}", summary="One model", responses=answers(OneModel, 404))
    async def model(name: PathName) -> Response:
        """Describe a model: `ready` tells whether it answers, `version` is the one that does."""
        state = _state(engine, name)
        answer: OneModel = {**_describe(engine, state), "model_version_status": [*map(_serving, state.versions)]}
        return JsonAnswer(answer)

    @router.get("/v1/models/{name}/versions/{version}", summary="One version", responses=answers(OneVersion, 400, 404))
    async def model_version(name: PathName, version: PathVersion) -> Response:
        """Describe one version of a model, loaded or not."""
        versions = {state.version: state for state in _state(engine, name, version).versions}
        state = versions[version]
        loaded, entry = state.state == "loaded", _entry(state)
        answer: OneVersion = {"name": name, "ready": loaded, **entry, "model_version_status": [_serving(state)]}
        return JsonAnswer(answer)

    @router.get("/v1/models/{name}/metadata", summary="The manifest", responses=answers(Manifest, 404, 503))
    async def metadata(name: PathName) -> Response:
        """Return the manifest of the served version.

        Features, tasks, gate baseline, provenance.
        """
        return _manifest(engine, name, None)

    @router.get(
        "/v1/models/{name}/versions/{version}/metadata",
        summary="The manifest of a version",
        responses=answers(Manifest, 400, 404, 503),
    )
    async def version_metadata(name: PathName, version: PathVersion) -> Response:
        """Return the manifest of a loaded version."""
        return _manifest(engine, name, version)

    return router


def health_router(engine: Engine) -> APIRouter:
    """Make the probes.

    They look at no request queue, so an overloaded service stays alive and ready.
    """
    router = APIRouter(prefix="/health", tags=["operation"])

    @router.get("/live", summary="Is the process alive?", responses=answers(Live))
    async def live() -> Response:
        """Answer 200 as long as the event loop turns."""
        return JsonAnswer(Live(live=True))

    @router.get("/ready", summary="May requests be sent here?", responses=answers(Ready, 503))
    async def ready() -> Response:
        """Answer 200 when the model is loaded, proved and warm.

        503 before that, and while the process drains.
        """
        engine.check_ready()
        return JsonAnswer(Ready(ready=True))

    return router


def _state(engine: Engine, name: str, version: int | None = None) -> ModelState:
    if ":" in name:  # GET .../name:gates
        raise HTTPException(404)
    return engine.catalogue.state(name, version)


def _describe(engine: Engine, state: ModelState) -> Model:
    return {
        "name": state.name,
        "ready": state.ready,
        "default": state.ready and state.name == _default_name(engine),
        "version": state.served,
        "pinned": state.pinned,
        "shadow": state.shadow,
        "canary": None if state.canary is None else _share(state.canary),
        "note": state.note,
        "versions": [_entry(version) for version in state.versions],
    }


def _share(canary: Canary) -> VersionShare:
    return {"version": canary.version, "share": canary.share}


def _entry(state: VersionState) -> VersionEntry:
    return {"version": state.version, "state": state.state, "reason": state.reason}


def _serving(state: VersionState) -> ServingState:
    """Describe a version as TensorFlow Serving does."""
    return {
        "version": str(state.version),
        "state": "AVAILABLE" if state.state == "loaded" else "END",
        "status": {
            "error_code": "FAILED_PRECONDITION" if state.state == "refused" else "OK",
            "error_message": state.reason or "",
        },
    }


def _default_name(engine: Engine) -> str | None:
    try:
        return engine.get().name
    except ServiceError:
        return None


def _manifest(engine: Engine, name: str, version: int | None) -> Response:
    return Response(engine.get(name, version).manifest.model_dump_json(), media_type="application/json")
