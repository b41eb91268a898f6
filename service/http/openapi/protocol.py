"""Typed answers of the Open Inference Protocol v2, and of its probes."""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypeAliasType, TypedDict

from service.system.json_types import Count


@with_config(ConfigDict(extra="forbid"))
class Refusal(TypedDict):
    """An error of the Open Inference Protocol."""

    error: str


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
