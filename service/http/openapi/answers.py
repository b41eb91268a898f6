"""Typed answers of the calls of v1 whose form does not depend on the model.

Nothing is checked when a call is answered: mypy holds what is built against these types. Those of
live traffic, of comparisons and of inspections stand beside what computes them.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from service.inference.inspection import Inspection
from service.inference.lenient import Note
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


class LabelsTaken(TypedDict):
    """Rows whose labels are kept, and the version whose tasks they were checked against."""

    model: str
    version: int
    rows: Count
