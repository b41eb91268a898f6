"""Schemathesis on the whole document.

Whatever is sent, the answer is one that the document names, and never a 5xx.
"""

import shutil
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from tests.support.effort import Effort

schemathesis = pytest.importorskip("schemathesis")

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
ASKING = (":predict", ":gates", "/predict", "/gates", "/infer", "/index")
NAMES = st.sampled_from(["hand", "plain", "wide"])
LONG_MS = "60000"


def changes(operation: Any) -> bool:
    """Tell what a call needs an admin for.

    Whatever changes the service, and what a shadow found.
    """
    method, path = operation.method.upper(), operation.path
    return (method == "POST" and not path.endswith(ASKING)) or path.endswith("/shadow")


@pytest.fixture
def own(models: Path, tmp_path: Path, start_service: Callable[..., Any]) -> Iterator[Any]:
    """Run a service of its own, whose models calls may load, unload and pin."""
    shutil.copytree(models, tmp_path / "models")
    with start_service(tmp_path / "models", loaded_versions="2", local_admin="true") as service:
        yield service


@pytest.mark.filterwarnings("default")  # those of another project
def test_every_answer_is_one_that_the_document_names(
    service: Any, client: httpx.Client, effort: Effort, measured: Callable[[str], None]
) -> None:
    _play(service.url, effort.cases, lambda operation: not changes(operation), measured)
    assert client.post("/v1/predict", json={"instances": [{"age": 1}]}).status_code == 200


@pytest.mark.filterwarnings("default")
def test_the_calls_that_change_the_service_answer_as_the_document_says(
    own: Any, effort: Effort, measured: Callable[[str], None]
) -> None:
    _play(own.url, effort.cases, changes, measured, {503})  # of what is unloaded
    assert httpx.post(f"{own.url}/v2/repository/models/hand/load").status_code == 200
    assert httpx.post(f"{own.url}/v1/models/hand:predict", json={"instances": [{"age": 1}]}).status_code == 200


def _play(
    url: str,
    cases: int,
    which: Callable[[Any], bool],
    measured: Callable[[str], None],
    allowed: Set[int] = frozenset(),
) -> None:
    """Send so many valid and so many invalid cases to each call, and check every answer."""
    import requests
    from schemathesis.checks import CHECKS as KNOWN
    from schemathesis.core.failures import FailureGroup

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    modes = schemathesis.GenerationMode
    checks = [KNOWN.get_one(name) for name in CHECKS]
    wrong: dict[str, str] = {}
    sent = 0
    with requests.Session() as session:

        def check(case: Any) -> None:
            nonlocal sent
            sent += 1
            answer = case.call(session=session, timeout=30)
            came = f"{case.as_curl_command()}\n{answer.status_code} {answer.text[:500]}"
            if answer.status_code >= 500 and answer.status_code not in allowed:
                wrong[case.operation.label] = came
            try:
                case.validate_response(answer, checks=checks)
            except FailureGroup as failures:
                wrong[case.operation.label] = f"{failures.exceptions}\n{came}"

        for operation in filter(which, operations):
            for mode in (modes.POSITIVE, modes.NEGATIVE):
                with suppress(Unsatisfiable):  # there is nothing to make wrong
                    _send(operation, mode, cases, check)
    assert not wrong, "\n\n".join(list(wrong.values())[:20])
    assert sent >= cases
    measured(f"{sent} cases to {len(operations)} calls")


def _send(operation: Any, mode: Any, cases: int, check: Callable[[Any], None]) -> None:
    @settings(
        max_examples=cases, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(
        case=operation.as_strategy(generation_mode=mode), name=st.none() | NAMES, version=st.none() | st.integers(1, 3)
    )
    def send(case: Any, name: str | None, version: int | None) -> None:
        parameters = case.path_parameters or {}
        for key, value in (("name", name), ("version", version)):  # else most would ask for what is not there
            if key in parameters and value is not None:
                parameters[key] = value
        headers = case.headers or {}
        if str(headers.get("X-Request-Timeout-Ms", "")).isdigit():
            headers["X-Request-Timeout-Ms"] = LONG_MS  # a short one may rightly end with 504
        check(case)

    send()
