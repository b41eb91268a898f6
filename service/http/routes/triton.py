"""Triton's extensions of the Open Inference Protocol: model configuration and statistics."""

import asyncio
from collections.abc import Callable, Mapping

from fastapi import APIRouter, HTTPException, Response

from service.engine import Engine
from service.http.codecs.endpoint import Endpoint, Endpoints
from service.http.codecs.render import JsonAnswer
from service.http.codecs.v2_metadata import PLATFORM
from service.http.openapi.protocol import Tensor
from service.http.openapi.triton import ConfiguredTensor, Duration, ModelStatistics, TritonConfig, TritonStatistics
from service.http.openapi.typed import answers
from service.http.routes.metrics import TELEMETRY_OFF
from service.http.types import PathName, PathVersion
from service.monitoring.telemetry import Telemetry, VersionKey

_DATA_TYPES = {"BYTES": "TYPE_STRING"}
"""Names in configurations; the others only have TYPE_ before them."""


def triton_router(engine: Engine, endpoints: Endpoints, telemetry: Telemetry | None) -> APIRouter:
    """Make the routes; `/v2/models/stats` comes before those of a model of any name."""
    router = APIRouter(prefix="/v2/models", tags=["Open Inference Protocol v2"])

    async def statistics(chosen: Callable[[VersionKey], bool]) -> Response:
        if telemetry is None:
            raise HTTPException(404, TELEMETRY_OFF)
        telemetry.publish()
        sums = await asyncio.to_thread(telemetry.version_sums)
        found = [_statistics(key, values) for key, values in sorted(sums.items()) if chosen(key)]
        return JsonAnswer(TritonStatistics(model_stats=found))

    @router.get("/stats", summary="Statistics of all models", responses=answers(TritonStatistics, 404))
    async def of_all() -> Response:
        """Count inferences, and add up their times, since the service has started."""
        return await statistics(lambda key: True)

    @router.get("/{name}/stats", summary="Statistics of a model", responses=answers(TritonStatistics, 404, 503))
    async def of_model(name: PathName) -> Response:
        """Count the inferences of all versions of a model that is served."""
        asked = engine.get(name).name
        return await statistics(lambda key: key[0] == asked)

    @router.get(
        "/{name}/versions/{version}/stats",
        summary="Statistics of a version",
        responses=answers(TritonStatistics, 400, 404, 503),
    )
    async def of_version(name: PathName, version: PathVersion) -> Response:
        """Count the inferences of a loaded version."""
        model = engine.get(name, version)
        return await statistics(lambda key: key == (model.name, model.version))

    @router.get("/{name}/config", summary="Model configuration", responses=answers(TritonConfig, 404, 503))
    async def config(name: PathName) -> Response:
        """Describe the served version in the words of Triton's configuration."""
        return JsonAnswer(_config(engine, endpoints.get(name)))

    @router.get(
        "/{name}/versions/{version}/config",
        summary="Model configuration of a version",
        responses=answers(TritonConfig, 400, 404, 503),
    )
    async def version_config(name: PathName, version: PathVersion) -> Response:
        """Describe a loaded version in the words of Triton's configuration."""
        return JsonAnswer(_config(engine, endpoints.get(name, version)))

    return router


def _config(engine: Engine, endpoint: Endpoint) -> TritonConfig:
    settings, tensors = engine.settings, endpoint.signature.describe()
    return {
        "name": endpoint.model.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": settings.loaded_versions}},
        "max_batch_size": settings.max_rows,
        "input": [_of_row(tensor) for tensor in tensors["inputs"]],
        "output": [_of_row(tensor) for tensor in tensors["outputs"]],
        "dynamic_batching": {"max_queue_delay_microseconds": settings.max_wait_us},
    }


def _of_row(tensor: Tensor) -> ConfiguredTensor:
    """Describe a tensor without its axis of rows, which `max_batch_size` stands for."""
    data_type = _DATA_TYPES.get(tensor["datatype"], f"TYPE_{tensor['datatype']}")
    dims = tensor["shape"][1:]
    if dims:
        return {"name": tensor["name"], "data_type": data_type, "dims": dims}
    return {"name": tensor["name"], "data_type": data_type, "dims": [1], "reshape": {"shape": []}}


def _statistics(key: VersionKey, sums: Mapping[str, float]) -> ModelStatistics:
    done = sums["successes"]
    between_s = max(sums["success_s"] - sums["parse_s"] - sums["render_s"], 0.0)
    return {
        "name": key[0],
        "version": str(key[1]),
        "inference_count": int(sums["rows"]),
        "inference_stats": {
            "success": _duration(done, sums["success_s"]),
            "fail": _duration(sums["failures"], sums["failure_s"]),
            "compute_input": _duration(done, sums["parse_s"]),
            "compute_infer": _duration(done, between_s),
            "compute_output": _duration(done, sums["render_s"]),
        },
    }


def _duration(count: float, seconds: float) -> Duration:
    return {"count": int(count), "ns": int(seconds * 1e9)}
