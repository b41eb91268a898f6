"""Client of mmoe-serve: rows in, every task's prediction and gate weights out."""

from mmoe_client.answers import Note, Prediction
from mmoe_client.client import AsyncClient, Client
from mmoe_client.errors import (
    CapacityError,
    ClientError,
    DeadlineExceeded,
    Forbidden,
    GatesUnavailable,
    InvalidFeatures,
    MalformedRequest,
    ModelNotFound,
    NotReady,
    Overloaded,
    Problem,
    RequestError,
    RequestTooLarge,
    ServerFault,
    TooManyWrongKeys,
    Unauthorised,
    Unreachable,
    VersionConflict,
)
from mmoe_client.metadata import Feature, Metadata, Task

__all__ = [
    "AsyncClient",
    "CapacityError",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Feature",
    "Forbidden",
    "GatesUnavailable",
    "InvalidFeatures",
    "MalformedRequest",
    "Metadata",
    "ModelNotFound",
    "NotReady",
    "Note",
    "Overloaded",
    "Prediction",
    "Problem",
    "RequestError",
    "RequestTooLarge",
    "ServerFault",
    "Task",
    "TooManyWrongKeys",
    "Unauthorised",
    "Unreachable",
    "VersionConflict",
]
