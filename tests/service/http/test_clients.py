"""Other projects' clients against a real service, each in an environment of its own.

`make clients` installs them.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.v2_answers import METADATA

pytestmark = pytest.mark.clients

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / ".venv-clients"
TIMEOUT_S = 120
NUMERIC: list[list[float | None]] = [[9.5, 12.0, -3.25], [None, 7.75, 3.0], [1.0, None, 10.125]]
CATEGORICAL = [["red", "Oslo"], ["", "Å never seen"], ["blue", ""]]
COMPLETE = [[0.0 if value is None else value for value in row] for row in NUMERIC]
WIDE = np.random.default_rng(0).normal(10, 3, (4, 100)).round(3).tolist()
EVERYTHING = ["price", "sold", "grade", "gate_weights"]


def ask(script: str, url: str) -> dict[str, Any]:
    """Run a script of tests/clients; its answers."""
    if not (ENVIRONMENT / ".clients").exists():
        pytest.skip("tritonclient and kserve are not installed in .venv-clients: `make clients` installs them")
    names = ("age", "height", "balance", "colour", "city")
    instances = [
        dict(zip(names, [*numbers, *texts], strict=True)) for numbers, texts in zip(NUMERIC, CATEGORICAL, strict=True)
    ]
    question = {"url": url, "numeric": NUMERIC, "categorical": CATEGORICAL, "wide": WIDE, "instances": instances}
    command = [str(ENVIRONMENT / "bin" / "python"), str(ROOT / "tests" / "clients" / script)]
    run = subprocess.run(
        command, input=json.dumps(question), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert run.returncode == 0, run.stderr
    answers: dict[str, Any] = json.loads(run.stdout)
    return answers


@pytest.fixture(scope="module")
def triton(service: Any) -> dict[str, Any]:
    return ask("ask_triton.py", service.url)


@pytest.fixture(scope="module")
def kserve(service: Any) -> dict[str, Any]:
    return ask("ask_kserve.py", service.url)


@pytest.fixture(scope="module")
def expected(oracle: Any, hand_weights: Any) -> dict[str, Any]:
    """Give the closed form's answers to the rows, to the rows with their missing numbers as 0,
    and to the wide rows.
    """
    texts = np.array(CATEGORICAL, object)
    return {
        "rows": oracle.weights.answer(np.array(NUMERIC, float), texts),
        "complete": oracle.weights.answer(np.array(COMPLETE), texts),
        "wide": hand_weights("wide", ("price", "sold")).answer(np.array(WIDE), None),
    }


def assert_outputs(found: dict[str, Any], expected: dict[str, Any], names: list[str] = EVERYTHING) -> None:
    assert list(found) == names
    for name, values in found.items():
        assert np.shape(values) == expected[name].shape
        np.testing.assert_allclose(values, expected[name], rtol=2e-5, atol=1e-6)


def test_triton_asks_for_health_and_models(triton: dict[str, Any]) -> None:
    assert (triton["live"], triton["ready"]) == (True, True)
    assert triton["models ready"] == [True, True, False]
    assert triton["server"]["extensions"][:2] == ["binary_tensor_data", "model_repository"]
    assert triton["config"]["max_batch_size"] == 50
    assert [entry["version"] for entry in triton["statistics"]["model_stats"]] == ["1", "2"]
    assert triton["metadata"] == METADATA
    assert [(entry["name"], entry["version"]) for entry in triton["index"]] == [
        ("hand", "2"),
        ("hand", "1"),
        ("plain", "1"),
        ("wide", "1"),
    ]
    assert all((entry["state"], entry["reason"]) == ("READY", "") for entry in triton["index"])
    assert triton["load"] is None


def test_triton_infers_in_its_default_mode(triton: dict[str, Any], expected: dict[str, Any]) -> None:
    assert triton["head"] == {"id": "call 7", "model_name": "hand", "model_version": "2"}
    assert_outputs(triton["default"], expected["rows"])
    assert triton["default came raw"] == [True] * 4
    assert_outputs(triton["default, wide"], expected["wide"], ["price", "sold", "gate_weights"])
    assert_outputs(triton["aio"], expected["rows"])


def test_triton_selects_outputs(triton: dict[str, Any], expected: dict[str, Any]) -> None:
    assert_outputs(triton["gate_weights alone"], expected["rows"], ["gate_weights"])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_triton_compresses_requests(triton: dict[str, Any], expected: dict[str, Any], encoding: str) -> None:
    assert_outputs(triton[encoding], expected["rows"])


def test_triton_infers_in_json(triton: dict[str, Any], expected: dict[str, Any]) -> None:
    assert_outputs(triton["json in"], expected["complete"])
    assert_outputs(triton["json in, wide"], expected["wide"], ["price", "sold", "gate_weights"])
    assert_outputs(triton["json out"], expected["rows"], ["sold", "gate_weights", "price"])
    assert triton["json out came raw"] == [False, False, True]
    assert_outputs(triton["json both ways"], expected["complete"], ["sold", "gate_weights"])
    assert_outputs(triton["aio, json in"], expected["complete"])


def test_triton_cannot_send_a_missing_number_in_json(triton: dict[str, Any]) -> None:
    """The client writes it as the literal NaN, which no JSON has."""
    assert triton["json with NaN"]["status"] == "400"
    assert triton["json with NaN"]["sentence"].startswith("The body is not JSON: ")


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("no such model", "404", "hand, plain, wide"),
        ("load with a configuration", "400", "'config'"),
        ("a wrong shape", "400", "Input 'numeric' has shape [1, 2]"),
        ("a wrong value", "400", "x0"),
        ("too many rows", "413", "51"),
        ("a call of Triton's own", "404", "There is nothing at '/v2/logging'"),
    ],
)
def test_triton_raises_our_sentence(triton: dict[str, Any], case: str, status: str, words: str) -> None:
    assert triton[case]["status"] == status
    assert words in triton[case]["sentence"]
    assert triton[case]["sentence"].endswith(".")


def test_kserve_asks_for_health_and_models(kserve: dict[str, Any]) -> None:
    assert (kserve["live"], kserve["ready"]) == (True, True)
    assert kserve["models ready"] == [True, True, False]
    assert kserve["v1 live"]
    assert kserve["v1 models ready"] == [True, True]


def test_kserve_infers_in_its_default_mode(kserve: dict[str, Any], expected: dict[str, Any]) -> None:
    assert kserve["head"] == {"id": "call 7", "model_name": "hand"}
    assert_outputs(kserve["default"], expected["rows"])
    assert_outputs(kserve["default, wide"], expected["wide"], ["price", "sold", "gate_weights"])


def test_kserve_infers_in_json(kserve: dict[str, Any], expected: dict[str, Any]) -> None:
    """This client writes a missing number as null, and so may send one."""
    assert_outputs(kserve["json in"], expected["rows"])


def test_kserve_infers_in_binary_both_ways(kserve: dict[str, Any], expected: dict[str, Any]) -> None:
    assert_outputs(kserve["binary both ways"], expected["rows"])
    assert kserve["came as"] == "application/octet-stream"


def test_kserve_selects_outputs(kserve: dict[str, Any], expected: dict[str, Any]) -> None:
    assert_outputs(kserve["gate_weights alone"], expected["rows"], ["gate_weights"])


def test_kserve_predicts_by_its_first_protocol(kserve: dict[str, Any], expected: dict[str, Any]) -> None:
    assert (kserve["v1"]["model"], kserve["v1"]["version"]) == ("hand", 2)
    predictions = kserve["v1"]["predictions"]
    assert len(predictions) == len(NUMERIC)
    for row, prediction in enumerate(predictions):
        weights = list(prediction["gate_weights"].values())
        np.testing.assert_allclose(weights, expected["rows"]["gate_weights"][row], rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(prediction["tasks"]["price"], expected["rows"]["price"][row], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("no such model", 404, "There is no model 'nope'"),
        ("a wrong shape", 400, "Input 'numeric' has shape [1, 2]"),
        ("v1, no such model", 404, ""),
        ("v1, a wrong value", 422, ""),
        ("v1, a wrong value, JSON alone", 422, "1 problem in the rows sent: row 0, feature 'age'"),
    ],
)
def test_kserve_raises_our_sentence(kserve: dict[str, Any], case: str, status: int, words: str) -> None:
    """For the first protocol only where it is told to accept JSON alone."""
    assert kserve[case]["status"] == status
    assert kserve[case]["sentence"].startswith(words)
