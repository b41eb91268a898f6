"""Triton's and KServe's clients over gRPC, each in an environment of its own (`make clients`)."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.documented import DEFAULT_MODEL, write_documented
from tests.support.grpc_calls import place
from tests.support.v2_answers import METADATA

pytestmark = pytest.mark.clients

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / ".venv-clients"
PAGE = (ROOT / "docs/grpc.md").read_text()
NUMERIC: list[list[float | None]] = [[9.5, 12.0, -3.25], [None, 7.75, 3.0], [1.0, None, 10.125]]
CATEGORICAL = [["red", "Oslo"], ["", "Å never seen"], ["blue", ""]]
EVERYTHING = ["price", "sold", "grade", "gate_weights"]
LARGE, STRINGS = 40_000, 10_000
"""Rows that make 16 MB of numbers, and of strings."""


@pytest.fixture(scope="module")
def place_of(models: Path, start_service: Callable[..., Any]) -> Iterator[str]:
    settings = {"max_rows": str(LARGE), "max_queue_rows": str(LARGE), "max_body_bytes": str(20 << 20)}
    settings |= {"loaded_versions": "2", "local_admin": "true", "max_inflated_bytes": str(20 << 20)}
    with start_service(models, grpc_port="0", **settings) as service:
        yield place(service)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory, start_service: Callable[..., Any]) -> Iterator[str]:
    """Serve the models of the page."""
    directory = tmp_path_factory.mktemp("documented")
    write_documented(directory)
    with start_service(directory, grpc_port="0", default_model=DEFAULT_MODEL) as service:
        yield place(service)


def ask(script: str, **question: Any) -> dict[str, Any]:
    if not (ENVIRONMENT / ".clients").exists():
        pytest.skip("tritonclient and kserve are not installed in .venv-clients: `make clients` installs them")
    question |= {"numeric": NUMERIC, "categorical": CATEGORICAL, "large": LARGE, "strings": STRINGS}
    command = [str(ENVIRONMENT / "bin" / "python"), str(ROOT / "tests" / "clients" / script)]
    run = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr
    answers: dict[str, Any] = json.loads(run.stdout)
    return answers


def program() -> tuple[str, str]:
    """Return the program of the page, and what it prints."""
    found = re.search(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1], found[2]


@pytest.fixture(scope="module")
def triton(place_of: str, documented: str) -> dict[str, Any]:
    return ask("ask_triton_grpc.py", place=place_of, documented=documented, program=program()[0])


@pytest.fixture(scope="module")
def kserve(place_of: str) -> dict[str, Any]:
    return ask("ask_kserve_grpc.py", place=place_of)


@pytest.fixture(scope="module")
def expected(hand_weights: Callable[..., Any]) -> dict[str, Any]:
    answer: dict[str, Any] = hand_weights(seed=5).answer(np.array(NUMERIC, float), np.array(CATEGORICAL, object))
    return answer


def assert_outputs(found: dict[str, Any], expected: dict[str, Any], names: list[str] = EVERYTHING) -> None:
    assert list(found) == names
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=2e-5, atol=1e-6)


def test_triton_asks_for_health_and_models(triton: dict[str, Any]) -> None:
    assert (triton["live"], triton["ready"]) == (True, True)
    assert triton["models ready"] == [True, True, False]
    assert triton["server"]["name"] == "mmoe-serve"
    described = json.loads(json.dumps(METADATA), parse_int=str)  # its client prints numbers of 64 bits as strings
    assert triton["metadata"] == described
    assert [(entry["name"], entry["version"]) for entry in triton["index"]["models"]] == [
        ("hand", "2"),
        ("hand", "1"),
        ("plain", "1"),
        ("wide", "1"),
    ]
    assert (triton["unloaded"], triton["loaded"]) == (False, True)


def test_triton_infers_in_its_default_mode(triton: dict[str, Any], expected: dict[str, Any]) -> None:
    assert triton["head"] == {"id": "call 7", "model_name": "hand", "model_version": "2"}
    for case in ("default", "gzip", "aio"):
        assert_outputs(triton[case], expected)
    assert_outputs(triton["gate_weights alone"], expected, ["gate_weights"])


def test_the_program_of_the_page_prints_what_the_page_says(triton: dict[str, Any]) -> None:
    assert triton["program"] == program()[1]


def test_kserve_asks_for_health_and_models(kserve: dict[str, Any]) -> None:
    assert (kserve["live"], kserve["ready"]) == (True, True)
    assert kserve["models ready"] == [True, True, False]


def test_kserve_infers_raw_and_in_contents(kserve: dict[str, Any], expected: dict[str, Any]) -> None:
    assert kserve["head"] == {"id": "call 7", "model_name": "hand"}
    for case in ("default", "contents"):
        assert_outputs(kserve[case], expected)
    assert_outputs(kserve["gate_weights alone"], expected, ["gate_weights"])


@pytest.mark.parametrize("client", ["triton", "kserve"])
def test_16_mb_of_numbers_and_of_strings_pass(client: str, request: pytest.FixtureRequest) -> None:
    answers = request.getfixturevalue(client)
    assert (answers["large"], answers["large strings"]) == ([LARGE], [STRINGS])


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("no such model", "NOT_FOUND", "There is no model 'nope'. Available: hand, plain, wide."),
        ("a wrong shape", "INVALID_ARGUMENT", "Input 'numeric' has shape [1, 2]. Expected [rows, 3]."),
        ("a call of Triton's own", "UNIMPLEMENTED", "There is no call '/inference.GRPCInferenceService/ModelConfig'"),
    ],
)
def test_triton_raises_our_sentence(triton: dict[str, Any], case: str, status: str, words: str) -> None:
    assert triton[case]["status"] == f"StatusCode.{status}"
    assert triton[case]["sentence"].startswith(words)


def test_a_deadline_ends_a_call_whichever_side_notices_first(triton: dict[str, Any]) -> None:
    assert triton["too late"]["status"] == "StatusCode.DEADLINE_EXCEEDED"
    assert triton["too late"]["sentence"].startswith(("Deadline Exceeded", "No answer within the "))


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("no such model", "NOT_FOUND", "There is no model 'nope'. Available: hand, plain, wide."),
        ("a wrong shape", "INVALID_ARGUMENT", "Input 'numeric' has shape [1, 2]. Expected [rows, 3]."),
    ],
)
def test_kserve_raises_our_sentence(kserve: dict[str, Any], case: str, status: str, words: str) -> None:
    assert kserve[case] == {"status": status, "sentence": words}


DESCRIBE = """
import json, sys
from google.protobuf import descriptor_pb2
if sys.argv[1] == "kserve":
    from kserve.protocol.grpc.grpc_predict_v2_pb2 import DESCRIPTOR
else:
    from tritonclient.grpc.service_pb2 import DESCRIPTOR
made = descriptor_pb2.FileDescriptorProto()
DESCRIPTOR.CopyToProto(made)
found = {}
def walk(messages, prefix):
    for one in messages:
        found[prefix + one.name] = {f.number: [f.name, f.type, f.label, f.type_name] for f in one.field}
        walk(one.nested_type, prefix + one.name + ".")
walk(made.message_type, "")
print(json.dumps(found))
"""


@pytest.mark.parametrize("client", ["kserve", "triton"])
def test_names_and_numbers_are_those_of_other_projects(client: str) -> None:
    from service.grpc.messages import MESSAGES

    if not (ENVIRONMENT / ".clients").exists():
        pytest.skip("tritonclient and kserve are not installed in .venv-clients: `make clients` installs them")
    command = [str(ENVIRONMENT / "bin" / "python"), "-c", DESCRIBE, client]
    theirs = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)
    compared = 0
    for name, message in MESSAGES.items():
        for number, (field, kind, label, of) in theirs.get(name, {}).items():
            if client == "triton" and name.startswith("RepositoryModel") and name.endswith("Request"):
                continue  # the two disagree about these: Triton's second field is read as triton_name
            ours = message.DESCRIPTOR.fields_by_number[int(number)]
            ours_of = f".{ours.message_type.full_name}" if ours.message_type else ""
            assert (field, kind, label == 3, of) == (ours.name, ours.type, ours.is_repeated, ours_of)
            compared += 1
    assert compared >= 60
