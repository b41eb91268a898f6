"""Triton's model configuration and statistics, as far as they are known here."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from service.system.json_types import Count


class Reshape(TypedDict):
    """Shape of a row where Triton would write [1] for no axis at all."""

    shape: list[Count]


class ConfiguredTensor(TypedDict):
    """Input or output of one row."""

    name: str
    data_type: str
    dims: list[Count]
    reshape: NotRequired[Reshape]


class Latest(TypedDict):
    """Highest versions that are kept loaded."""

    num_versions: Count


class VersionPolicy(TypedDict):
    """Choice of the versions that are loaded."""

    latest: Latest


class DynamicBatching(TypedDict):
    """Joining of requests into one run."""

    max_queue_delay_microseconds: Count


class TritonConfig(TypedDict):
    """Configuration of a model in Triton's words."""

    name: str
    platform: str
    backend: str
    version_policy: VersionPolicy
    max_batch_size: Count
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]
    dynamic_batching: DynamicBatching


class Duration(TypedDict):
    """Requests, and the nanoseconds that they took together."""

    count: Count
    ns: Count


class InferenceStatistics(TypedDict):
    """Times of a version's inferences, by stage."""

    success: Duration
    fail: Duration
    compute_input: Annotated[Duration, Field(description="From bytes to arrays.")]
    compute_infer: Annotated[Duration, Field(description="Waiting for a run, and the run.")]
    compute_output: Annotated[Duration, Field(description="From results to bytes.")]


class ModelStatistics(TypedDict):
    """Statistics of a model version since the service has started, over all workers."""

    name: str
    version: str
    inference_count: Annotated[Count, Field(description="Predicted rows.")]
    inference_stats: InferenceStatistics


class TritonStatistics(TypedDict):
    """Statistics of model versions."""

    model_stats: list[ModelStatistics]
