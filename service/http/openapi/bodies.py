"""Typed bodies of requests other than predictions."""

from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypeAliasType, TypedDict


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


class IndexRequest(TypedDict):
    """Choice of the versions that the index lists."""

    ready: NotRequired[Annotated[bool | None, Field(description="List only what answers.")]]
