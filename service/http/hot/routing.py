"""Routing of the hot path: the model that a path asks for, and by which protocol."""

import re
from typing import NamedTuple

_NAME = r"(?P<name>[^/:]+)"
_VERSION = r"(?:/versions/(?P<version>[1-9][0-9]{0,17}))?"
_PREDICT = re.compile(rf"/v1/models/{_NAME}{_VERSION}:predict|/v1/predict")
_INFER = re.compile(rf"/v2/models/{_NAME}{_VERSION}/infer")


class Route(NamedTuple):
    """Model, version and protocol that a path of the hot path asks for.

    Attributes:
        counted_as: the route under which metrics count it.
    """

    name: str | None
    version: int | None
    v2: bool
    counted_as: str


def route_of(path: str) -> Route | None:
    """Return what a path asks for; None if it is not one of the hot path."""
    found = _PREDICT.fullmatch(path) or _INFER.fullmatch(path)
    if found is None:
        return None
    name, version = found["name"], found["version"]
    v2 = path.startswith("/v2/")
    return Route(name, int(version) if version else None, v2, "v2_infer" if v2 else "predict")
