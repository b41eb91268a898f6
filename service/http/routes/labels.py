"""`POST .../labels`: labels of rows that were answered earlier.

Thin: read, note, say how many.
"""

import functools

from fastapi import APIRouter, HTTPException, Request, Response

from service.engine import Engine
from service.http.admission import APART_BYTES, Admission
from service.http.codecs.endpoint import Endpoints
from service.http.codecs.json_size import JsonLimits
from service.http.codecs.labels import read_labels
from service.http.codecs.render import JsonAnswer
from service.http.openapi.answers import LabelsTaken
from service.http.openapi.bodies import LabelsRequest
from service.http.openapi.typed import answers, asks
from service.http.types import PathName
from service.logs.labels import LabelLog

LABELS_OFF = "Labels are not kept by this service. Set MMOE_LABEL_LOG to a directory for them."


def labels_router(engine: Engine, endpoints: Endpoints, admission: Admission, log: LabelLog | None) -> APIRouter:
    """Make the call that takes labels."""
    router = APIRouter(tags=["labels"])

    @router.post(
        "/v1/models/{name}/labels",
        summary="Report labels of rows answered earlier",
        openapi_extra=asks(LabelsRequest),
        responses=answers(LabelsTaken, 400, 404, 408, 413, 415, 422, 429, 503),
    )
    async def labels(name: PathName, request: Request) -> Response:
        """Keep labels, for some tasks or all, in any order, minutes or weeks after the answer.

        A row is named by the answer's request id and its place in the request, or by the key that
        it was sent with. Of labels that come twice the later one stands. They are checked against
        the tasks of the served version, in the table's own terms or as classes.
        """
        if log is None:
            raise HTTPException(404, LABELS_OFF)
        endpoint, headers = endpoints.get(name), dict(request.scope["headers"])
        reader, tasks = endpoint.labels, len(endpoint.labels.tasks)
        limits = JsonLimits.of_rows(engine.settings.max_rows, tasks + 3, 0)
        with admission.incoming(request.receive) as incoming:
            body = await incoming.read_json(headers, limits)
            read = functools.partial(read_labels, body, reader, engine.settings.max_rows)
            rows = read() if len(body) <= APART_BYTES else await incoming.apart(read)
        log.note(name, rows)
        return JsonAnswer(LabelsTaken(model=name, version=endpoint.model.version, rows=len(rows)))

    return router
