"""Paths of requests: the route each counts as, the model it asks, the methods it answers."""

import re
from collections.abc import Mapping, Sequence

from starlette.routing import Route

from service.engine import Engine
from service.errors import ServiceError
from service.inference.model import Model

_MODEL = r"/v1/models/[^/:]+(/versions/[^/:]+)?"
_ASKED = re.compile(
    r"/v[12]/models/(?P<name>[^/:]+)(/versions/(?P<version>[1-9][0-9]{0,17})(?=[/:]|$))?|/v1/(predict|gates)$"
)
_ROUTES = tuple(
    (method, re.compile(pattern), route)
    for method, pattern, route in (
        (None, rf"{_MODEL}:predict|/v1/predict", "predict"),
        ("POST", rf"{_MODEL}:gates|/v1/gates", "gates"),
        (None, rf"{_MODEL}/(gates|drift)|/v1/gates", "traffic"),
        (None, rf"{_MODEL}/metadata", "metadata"),
        (None, r"/v1/models/[^/:]+/(labels|quality)", "labels"),
        ("GET", r"/v1/models(/.*)?", "models"),
        (None, r"/v1/(models|admin)(/.*)?", "admin"),
        (None, r"/v2/models/.+/infer", "v2_infer"),
        (None, r"/v2/repository/.+", "admin"),
        (None, r"/v2/health/.+|/health/.+", "health"),
        (None, r"/v2(/.*)?", "v2"),
        (None, r"/metrics", "metrics"),
        (None, r"/docs(/.*)?|/redoc|/openapi\.json", "docs"),
        ("GET", r"/|/[^/]+\.(html|js|css|svg|ico)|/assets/.+", "page"),
    )
)


def route_of(method: str, path: str) -> str:
    """Return the name under which a request counts, one of `instruments.ROUTES`."""
    matches = (route for only, pattern, route in _ROUTES if only in (None, method) and pattern.fullmatch(path))
    return next(matches, "other")


def model_of(engine: Engine, path: str) -> Model | None:
    """Return the loaded model that a path asks; None if it asks none, or one that is not there."""
    found = _ASKED.match(path)
    if found is None:
        return None
    name, version = found["name"], found["version"]
    try:
        return engine.get(name, int(version) if version else None)
    except ServiceError:
        return None


def methods_at(routes: Sequence[Route], path: str) -> list[str]:
    """List the methods of all routes at a path."""
    found: set[str] = set()
    for route in routes:
        match = route.path_regex.match(path)
        if match is not None and not names_a_call(match.groupdict()):
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def names_a_call(parameters: Mapping[str, object]) -> bool:
    """Tell whether a colon was taken for a part of a name.

    `hand:predict` is a call, not a model.
    """
    return any(":" in str(value) for key, value in parameters.items() if key != "path")
