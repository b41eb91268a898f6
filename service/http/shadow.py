"""`POST /v1/models/{name}:shadow` and `GET .../shadow`: compare a version with the one that is served.

What is asked for holds in all workers until the service restarts.
"""

from typing import Any

from fastapi import APIRouter, Depends, Request

from service.engine import Engine
from service.errors import MalformedRequest, ModelNotFound
from service.http.admission import Admission
from service.http.answers import answers
from service.http.guard import Guard
from service.http.json_size import FEW_VALUES
from service.http.models import Name
from service.http.rows import load_object
from service.http.versions import read_version
from service.quoting import quote
from service.reload import Keeper
from service.shadow_report import shadow_report

_EXPECTED = '{"version": 4, "share": 0.1}, or {"version": null} to end it'


def shadow_router(engine: Engine, keeper: Keeper, guard: Guard, admission: Admission) -> APIRouter:
    """Make the calls that begin and end a comparison, and tell what it has found."""
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.admin)])

    @router.post(
        "/v1/models/{name}:shadow",
        name="shadow",
        summary="Compare a version with the served one",
        responses=answers("ShadowAsked", 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def begin(name: Name, request: Request) -> dict[str, Any]:
        """Run a version beside the served one on a share of the traffic, after the answers. An admin call.

        `GET /v1/models/{name}/shadow` has the differences. `{"version": null}` ends it.
        """
        with admission.incoming(request.receive) as incoming:
            body = await incoming.read_weighed(dict(request.scope["headers"]), FEW_VALUES)
        version, share = _read(body, engine.settings.shadow_share)
        await keeper.shadow(name, version, float(share))
        return {"model": name, "shadow": version, "share": share if version is not None else None}

    @router.get(
        "/v1/models/{name}/shadow",
        name="shadow",
        summary="Differences of the shadow version",
        responses=answers("Shadow", 401, 403, 404),
    )
    def found(name: Name) -> dict[str, Any]:
        """Tell how the shadow version's predictions and gates differ from the served one's, over all workers.

        After the end of a comparison it tells what the last one found. An admin call.
        """
        return _describe(engine, name)

    return router


def _read(body: bytes, default_share: float) -> tuple[int | None, float]:
    """Return the version and the share of the rows that are asked for."""
    document = load_object(body, _EXPECTED)
    version = read_version(document, {"version", "share"}, _EXPECTED)
    share = document.get("share")
    if share is None:
        share = default_share
    if type(share) not in (int, float) or not 0 < share <= 1:
        raise MalformedRequest(f'"share" is {quote(share)}', "more than 0 and at most 1")
    return version, share


def _describe(engine: Engine, name: str) -> dict[str, Any]:
    names = [state.name for state in engine.models()]
    if name not in names:
        raise ModelNotFound(name, None, names)
    active = engine.shadowed.get(name)
    found = active.tally.total() if active else engine.last_shadow(name)
    return {
        "model": name,
        "version": found.pair.served if found else None,
        "shadow": found.pair.candidate if found else None,
        "active": active is not None,
        "share": active.share if active else None,
        **(shadow_report(found) if found else {"rows": 0, "dropped_rows": 0, "failed_rows": 0, "tasks": {}}),
    }
