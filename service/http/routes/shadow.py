"""`:shadow`: a comparison of a version with the served one, begun, ended and told.

What is compared stands in the model's serving file, for all replicas and restarts.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.engine import Engine
from service.http.admission import Admission
from service.http.codecs.render import JsonAnswer
from service.http.guard import Guard
from service.http.openapi.answers import Shadow, ShadowAsked
from service.http.openapi.bodies import ShadowRequest
from service.http.openapi.typed import answers, asks
from service.http.routes.admin import read_object, read_share, read_version, with_note
from service.http.types import PathName
from service.monitoring.shadow_report import Comparison, shadow_report
from service.versions.commands import VersionCommands

_EXPECTED = '{"version": 4, "share": 0.1}, or {"version": null} to end it'


def shadow_router(engine: Engine, commands: VersionCommands, guard: Guard, admission: Admission) -> APIRouter:
    """Make the calls that begin and end a comparison, and tell what it has found."""
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.admin)])

    @router.post(
        "/v1/models/{name}:shadow",
        name="shadow",
        summary="Compare a version with the served one",
        openapi_extra=asks(ShadowRequest),
        responses=answers(ShadowAsked, 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def begin(name: PathName, request: Request, by: Annotated[str, Depends(guard.admin)]) -> Response:
        """Run a version beside the served one on a share of the traffic, after the answers.

        An admin call.

        `GET /v1/models/{name}/shadow` has the differences. `{"version": null}` ends it.
        """
        document = await read_object(admission, request, _EXPECTED)
        version = read_version(document, {"version", "share"}, _EXPECTED)
        share = engine.settings.shadow_share if document.get("share") is None else read_share(document["share"])
        await commands.shadow(name, version, share, f"{by} (:shadow)")
        asked = ShadowAsked(model=name, shadow=version, share=share if version is not None else None)
        return JsonAnswer(with_note(engine, asked))

    @router.get(
        "/v1/models/{name}/shadow",
        name="shadow",
        summary="Differences of the shadow version",
        responses=answers(Shadow, 401, 403, 404),
    )
    def found(name: PathName) -> Response:
        """Compare the shadow's predictions and gates with the served version's, over all workers.

        After the end of a comparison it tells what the last one found. An admin call.
        """
        return JsonAnswer(_describe(engine, name))

    return router


_NOTHING_COMPARED: Comparison = {
    "rows": 0,
    "dropped_rows": 0,
    "failed_rows": 0,
    "tasks": {},
    "expert_match": None,
    "experts": None,
}


def _describe(engine: Engine, name: str) -> Shadow:
    engine.catalogue.state(name)
    active = engine.catalogue.shadowed.get(name)
    found = active.tally.total() if active else engine.catalogue.last_shadow(name)
    compared = shadow_report(found) if found else _NOTHING_COMPARED
    return {
        "model": name,
        "version": found.pair.served if found else None,
        "shadow": found.pair.candidate if found else None,
        "active": active is not None,
        "share": active.share if active else None,
        **compared,
    }
