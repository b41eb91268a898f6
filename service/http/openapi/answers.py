"""Typed answers and bodies.

The JSON of every call whose form does not depend on the model, and the schemas made of it.

Nothing is checked when a call is answered: mypy holds what is built against these types. Those of
live traffic, of comparisons and of inspections stand beside what computes them.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeAliasType, TypedDict

from service.artifact.manifest import Manifest
from service.http.openapi.schemas import REFERENCE, Schema, ref
from service.http.openapi.triton import TritonConfig, TritonStatistics
from service.inference.inspection import Inspection
from service.inference.lenient import Note
from service.monitoring.drift_report import DriftAnswer
from service.monitoring.fleet import FleetAnswer
from service.monitoring.quality import Quality
from service.monitoring.report import TrafficAnswer
from service.monitoring.segment_report import SegmentsAnswer
from service.monitoring.shadow_report import Comparison
from service.system.json_types import Count


class ProblemEntry(TypedDict):
    """Fault of a row, of a feature or of both."""

    row: int | None
    feature: str | None
    message: str


class Problem(TypedDict):
    """RFC 9457, application/problem+json."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="What came, what was expected, what to do.")]
    instance: str
    code: Annotated[str, Field(description="A name for programs.")]
    request_id: str
    error: Annotated[str, Field(description="The same as `detail`, for clients that read no other.")]
    errors: list[ProblemEntry]
    more_errors: NotRequired[Annotated[Count, Field(description="How many more there are than `errors` lists.")]]


@with_config(ConfigDict(extra="forbid"))
class Refusal(TypedDict):
    """An error of the Open Inference Protocol."""

    error: str


class VersionEntry(TypedDict):
    """State of a version on disk."""

    version: Annotated[int, Field(ge=1)]
    state: Literal["loaded", "available", "refused"]
    reason: Annotated[str | None, Field(description="Why it is not loaded.")]


class Version(VersionEntry):
    """State of one version of a model."""

    name: str
    ready: bool


class ServingStatus(TypedDict):
    """Reason why a version is not available, in TensorFlow Serving's words."""

    error_code: str
    error_message: str


class ServingState(TypedDict):
    """State of a version in TensorFlow Serving's words."""

    version: str
    state: Literal["AVAILABLE", "END"]
    status: ServingStatus


class ServingStates(TypedDict):
    """States of versions, as TensorFlow Serving's clients read them."""

    model_version_status: list[ServingState]


class VersionShare(TypedDict):
    """Version that answers a share of the requests."""

    version: int
    share: Annotated[float, Field(gt=0, le=1)]


class Model(TypedDict):
    """State of a model and its versions."""

    name: str
    ready: Annotated[bool, Field(description="Whether the model answers.")]
    default: Annotated[bool, Field(description="Whether the short calls mean it.")]
    version: Annotated[int | None, Field(description="The one that answers.")]
    pinned: Annotated[int | None, Field(description="The one that is served in place of the highest.")]
    shadow: Annotated[int | None, Field(description="The one that is loaded to be compared with it.")]
    canary: Annotated[
        VersionShare | None, Field(description="The one that answers a share of the requests that name no version.")
    ]
    note: Annotated[str | None, Field(description="What an operator should know, and what ends it.")]
    versions: list[VersionEntry]


class OneModel(Model, ServingStates):
    """State of a model and its versions, for clients of TensorFlow Serving too."""


class OneVersion(Version, ServingStates):
    """State of one version of a model, for clients of TensorFlow Serving too."""


class Models(TypedDict):
    """All models."""

    models: list[Model]


class Asked(TypedDict):
    """Model of which something was asked.

    Its note says that the change could not be written, and is lost when the service restarts.
    """

    model: str
    note: NotRequired[Annotated[str, Field(description="Why the change is lost when the service restarts.")]]


class Pinned(Asked):
    """Version that a model serves now."""

    version: int
    pinned: bool


class CanaryAsked(Asked):
    """Version that a model serves now, and the one that answers a share of the requests."""

    version: int
    canary: VersionShare | None


class Shadowed(TypedDict):
    """Version that is compared with the served one, and the share of the runs."""

    model: str
    shadow: int | None
    share: float | None


class Compared(Comparison):
    """Comparison of two versions on the same rows."""

    model: str
    version: int
    other: int
    window: str


class ShadowAsked(Shadowed, Asked):
    """Version that is compared with the served one from now on."""


class Shadow(Shadowed, Comparison):
    """Comparison of a shadow version with the served one."""

    version: int | None
    active: bool


class InspectionAnswer(Inspection):
    """Gates of a model version over the rows sent."""

    model: str
    version: int
    notes: NotRequired[Annotated[list[Note], Field(description="Liberties taken, where `lenient` was asked for.")]]
    more_notes: NotRequired[Count]


class Live(TypedDict):
    """Liveness of the process."""

    live: bool


class Ready(TypedDict):
    """Readiness of the process."""

    ready: bool


class Alive(TypedDict):
    """Liveness, as KServe's client asks for it."""

    status: Literal["alive"]


class ServerMetadata(TypedDict):
    """Server, and the extensions of the protocol that it speaks."""

    name: str
    version: str
    extensions: list[str]


class ServerHealth(Live, Ready):
    """Liveness and readiness of the process."""


class ModelNames(TypedDict):
    """Models that answer."""

    models: list[str]


class Tensor(TypedDict):
    """Input or output of a model; -1 stands for the number of rows."""

    name: str
    datatype: Literal["FP32", "BYTES", "INT64"]
    shape: list[Annotated[int, Field(ge=-1)]]


class Tensors(TypedDict):
    """Inputs and outputs of a model."""

    inputs: list[Tensor]
    outputs: list[Tensor]


class ModelMetadata(Tensors):
    """Loaded versions of a model, and its tensors."""

    name: str
    versions: list[str]
    platform: str


class ModelReady(Ready):
    """Readiness of a model."""

    name: str


class IndexEntry(TypedDict):
    """State of a version, as the repository extension names it."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class BinarySize(TypedDict):
    """Size of an output behind the JSON."""

    binary_data_size: Count


class InferOutput(TypedDict):
    """Output of an inference, with its numbers or the size of its raw bytes."""

    name: str
    shape: tuple[Count, ...]
    datatype: Literal["FP32"]
    data: NotRequired[list[float]]
    parameters: NotRequired[BinarySize]


class InferHead(TypedDict):
    """Answer to an inference, but for its outputs."""

    model_name: str
    model_version: str
    id: NotRequired[str]


class InferAnswer(InferHead):
    """Answer to an inference."""

    outputs: list[InferOutput]


RepositoryIndex = TypeAliasType("RepositoryIndex", list[IndexEntry])


@with_config(ConfigDict(extra="forbid"))
class PinRequest(TypedDict):
    """Version to serve; null serves the highest again."""

    version: Annotated[int, Field(ge=1)] | None


@with_config(ConfigDict(extra="forbid"))
class ShadowRequest(PinRequest):
    """Version to compare with the served one; null ends the comparison."""

    share: NotRequired[Annotated[float | None, Field(gt=0, le=1, description="Share of the runs to compare.")]]


@with_config(ConfigDict(extra="forbid"))
class CanaryRequest(PinRequest):
    """Version that is to answer a share of the requests; null ends that."""

    share: NotRequired[
        Annotated[float | None, Field(gt=0, le=1, description="Share of the requests; needed with a version.")]
    ]


class LoadRequest(TypedDict):
    """Nothing: what is loaded is what lies on disk."""

    parameters: NotRequired[Annotated[dict[str, None] | None, Field(description="None.")]]


class UnloadParameters(TypedDict):
    """Parameters of Triton's clients, which change nothing here."""

    unload_dependents: NotRequired[bool | None]


class UnloadRequest(TypedDict):
    """Nothing that changes what is unloaded."""

    parameters: NotRequired[UnloadParameters | None]


class LabelsOfRow(TypedDict):
    """Labels of one row, named by its request or by a key."""

    request_id: NotRequired[Annotated[str | int | None, Field(description="That the answer carried.")]]
    row: NotRequired[Annotated[int | None, Field(ge=0, description="Place in the request; 0 by default.")]]
    key: NotRequired[Annotated[str | int | None, Field(description="That the row was sent with.")]]
    tasks: Annotated[dict[str, str | float | bool | None], Field(description="Label by task; null is none.")]


@with_config(ConfigDict(extra="forbid"))
class LabelRows(TypedDict):
    """Labels, row by row."""

    labels: Annotated[list[LabelsOfRow], Field(min_length=1)]


@with_config(ConfigDict(extra="forbid"))
class LabelColumns(TypedDict):
    """Labels as columns of one length."""

    request_id: NotRequired[list[str | int] | None]
    row: NotRequired[list[Annotated[int, Field(ge=0)]] | None]
    key: NotRequired[list[str | int] | None]
    tasks: Annotated[dict[str, list[str | float | bool | None]], Field(min_length=1)]


LabelsRequest = TypeAliasType("LabelsRequest", LabelRows | LabelColumns)


class LabelsTaken(TypedDict):
    """Rows whose labels are kept, and the version whose tasks they were checked against."""

    model: str
    version: int
    rows: Count


class IndexRequest(TypedDict):
    """Choice of the versions that the index lists."""

    ready: NotRequired[Annotated[bool | None, Field(description="List only what answers.")]]


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
