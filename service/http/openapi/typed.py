"""Descriptions of routes, and the schemas made of the typed bodies and answers."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from service.artifact.manifest import Manifest
from service.http.openapi.answers import (
    CanaryAsked,
    Compared,
    InspectionAnswer,
    LabelsTaken,
    Models,
    OneModel,
    OneVersion,
    Pinned,
    Problem,
    Shadow,
    ShadowAsked,
)
from service.http.openapi.bodies import (
    CanaryRequest,
    IndexRequest,
    LabelsRequest,
    LoadRequest,
    PinRequest,
    ShadowRequest,
    UnloadRequest,
)
from service.http.openapi.protocol import (
    Alive,
    InferAnswer,
    Live,
    ModelMetadata,
    ModelNames,
    ModelReady,
    Ready,
    Refusal,
    RepositoryIndex,
    ServerHealth,
    ServerMetadata,
)
from service.http.openapi.schemas import REFERENCE, Schema, ref
from service.http.openapi.triton import TritonConfig, TritonStatistics
from service.monitoring.drift_report import DriftAnswer
from service.monitoring.fleet import FleetAnswer
from service.monitoring.quality import Quality
from service.monitoring.report import TrafficAnswer
from service.monitoring.segment_report import SegmentsAnswer

TYPED: tuple[Any, ...] = (
    Problem, Refusal, OneVersion, OneModel, Models, Pinned, CanaryAsked, ShadowAsked, Shadow, Compared,
    InspectionAnswer, TrafficAnswer, SegmentsAnswer, Live, Ready, Alive, ServerMetadata, ServerHealth, ModelNames,
    ModelMetadata, ModelReady, RepositoryIndex, InferAnswer, PinRequest, CanaryRequest, ShadowRequest, IndexRequest,
    LoadRequest, UnloadRequest, TritonConfig, TritonStatistics, LabelsRequest, LabelsTaken, Quality, DriftAnswer,
    FleetAnswer,
)  # fmt: skip


def asks(request: Any, required: bool = True) -> Schema:
    """Describe the body of a route, for its `openapi_extra=`.

    Args:
        request: type of its JSON, one of TYPED.
        required: whether it must be sent.
    """
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": ref(request.__name__)}}}}


def answers(answer: Any, *errors: int, **others: Schema) -> dict[int | str, Schema]:
    """Describe the answers of a route, for its `responses=`.

    Args:
        answer: type of the JSON of a 200, one of TYPED or Manifest; None where it is not JSON.
        errors: the statuses that the route may answer instead; 500 goes without saying.
        others: schemas of other content types of a 200, with a double underscore for the slash:
            text__plain.
    """
    contents = {kind.replace("__", "/"): {"schema": other} for kind, other in others.items()}
    if answer is not None:
        contents["application/json"] = {"schema": ref(answer.__name__)}
    return {200: {"content": contents} if contents else {}, **{status: {} for status in errors}}


class _Untitled(GenerateJsonSchema):
    """Schema generator that repeats no field's name as its title."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def answer_schemas() -> dict[str, Schema]:
    """Make the schemas of all typed answers and of the manifest, by name."""
    adapter = TypeAdapter(tuple[TYPED])  # type: ignore[valid-type]
    typed = adapter.json_schema(mode="serialization", ref_template=REFERENCE, schema_generator=_Untitled)["$defs"]
    template = REFERENCE.replace("{", "Manifest.{")
    manifest = Manifest.model_json_schema(mode="serialization", ref_template=template, schema_generator=_Untitled)
    parts = {f"Manifest.{name}": schema for name, schema in manifest.pop("$defs").items()}
    schemas = {**typed, "Manifest": manifest, **parts}
    for schema in schemas.values():
        schema.pop("title", None)  # generated clients would name classes by it
    return schemas
