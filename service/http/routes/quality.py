"""`GET .../quality`: what the last evaluation of a model's logs and labels found."""

import asyncio
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

from service.engine import Engine
from service.http.openapi.typed import answers
from service.http.types import PathName
from service.monitoring.quality import Quality, QualityFileError, read_quality

QUALITY_OFF = "Quality is not read by this service. Set MMOE_QUALITY to the directory that scripts.evaluate writes."


def quality_router(engine: Engine, directory: Path | None) -> APIRouter:
    """Make the route; the file is read in a thread, off the event loop."""
    router = APIRouter(tags=["labels"])

    @router.get(
        "/v1/models/{name}/quality",
        summary="Quality of a model by its labels",
        responses=answers(Quality, 404, 503),
    )
    async def quality(name: PathName) -> Response:
        """Give each version's and task's metrics over labelled rows.

        Whole, over time, by top expert and by segment.
        """
        if directory is None:
            raise HTTPException(404, QUALITY_OFF)
        model = engine.get(name).name  # a name of ours, not a path
        try:
            content = await asyncio.to_thread(read_quality, directory, model)
        except QualityFileError as error:
            raise HTTPException(404, f"{error}.") from None
        return Response(content, headers={"content-type": "application/json"})

    return router
