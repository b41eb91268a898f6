"""A real service with a port for gRPC; without the extra only the tests of its absence are run."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.support.grpc_calls import Caller

if importlib.util.find_spec("grpc") is None:
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_extra.py"]


@pytest.fixture(scope="module")
def service(models: Path, start_service: Callable[..., Any]) -> Iterator[Any]:
    """Run a service for the tests that only ask."""
    limits = {"max_rows": "50", "max_body_bytes": "100000"}
    with start_service(models, grpc_port="0", default_model="hand", loaded_versions="2", **limits) as started:
        yield started


@pytest.fixture
def call(service: Any) -> Iterator["Caller"]:
    from tests.support.grpc_calls import calling, place

    with calling(place(service)) as made:
        yield made


@pytest.fixture(scope="module")
def client(service: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as made:
        yield made
