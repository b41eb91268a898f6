"""Each path counts under one route."""

import pytest

from service.http.paths import route_of
from service.monitoring.instruments import ROUTES


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/v1/models/a.b-c/versions/3:predict", "predict"),
        ("GET", "/v1/predict", "predict"),
        ("POST", "/v1/gates", "gates"),
        ("GET", "/v1/gates", "traffic"),
        ("GET", "/v1/models/a/versions/2/gates", "traffic"),
        ("GET", "/v1/models/a/versions/2/metadata", "metadata"),
        ("GET", "/v1/models/a/versions/2", "models"),
        ("POST", "/v1/models/a:load", "admin"),
        ("POST", "/v2/models/a/versions/1/infer", "v2_infer"),
        ("POST", "/v2/repository/models/a/load", "admin"),
        ("GET", "/v2/models/a/ready", "v2"),
        ("GET", "/v2", "v2"),
        ("GET", "/health/ready", "health"),
        ("GET", "/metrics", "metrics"),
        ("GET", "/docs", "docs"),
        ("GET", "/", "page"),
        ("GET", "/assets/vendor/uPlot.js", "page"),
        ("POST", "/", "other"),
        ("GET", "/v1", "other"),
        ("GET", "/v1/models/a/../../etc/passwd", "models"),
    ],
)
def test_each_path_counts_under_its_route(method: str, path: str, route: str) -> None:
    assert route_of(method, path) == route
    assert route in ROUTES
