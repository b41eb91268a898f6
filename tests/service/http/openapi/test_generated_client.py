"""A client that openapi-python-client makes from the document, against the service that wrote it.

`make clients` installs the generator.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.clients

ROOT = Path(__file__).parents[4]
ENVIRONMENT = ROOT / ".venv-clients"


@pytest.fixture(scope="module")
def asked(service: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    python = ENVIRONMENT / "bin" / "python"
    if not any(ENVIRONMENT.glob("lib/*/site-packages/openapi_python_client")):
        pytest.skip("openapi-python-client is not installed in .venv-clients: `make clients` installs it")
    home = tmp_path_factory.mktemp("generated")
    (home / "settings.yaml").write_text("post_hooks: []\n")  # it need not be pretty
    (home / "document.json").write_bytes(httpx.get(f"{service.url}/openapi.json").content)
    generate = ["generate", "--path", "document.json", "--meta", "none", "--config", "settings.yaml"]
    target = ["--output-path", str(home / "made" / "mmoe_serve_client")]
    (home / "made").mkdir()
    run(python, "-m", "openapi_python_client", *generate, *target, cwd=home)
    said = run(python, ROOT / "tests/clients/ask_generated.py", service.url, home / "made", cwd=home)
    answers: dict[str, Any] = json.loads(said)
    return answers


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout, done.stdout
    return done.stdout


def test_rows_and_inspections(asked: dict[str, Any], client: httpx.Client) -> None:
    rows = {"instances": [{"age": 9.5, "colour": "red"}]}
    assert asked["predict"] == client.post("/v1/models/hand:predict", json=rows).json()
    assert asked["gates"] == client.post("/v1/models/hand:gates", json={**rows, "contributions": True}).json()


def test_tensors(asked: dict[str, Any]) -> None:
    outputs = {output["name"]: output["data"] for output in asked["infer"]["outputs"]}
    (prediction,) = asked["predict"]["predictions"]
    assert outputs["price"] == [prediction["tasks"]["price"]]
    assert outputs["gate_weights"] == [weight for gate in prediction["gate_weights"].values() for weight in gate]


def test_an_error_is_read(asked: dict[str, Any]) -> None:
    status, sentence = asked["refused"]
    assert status == 400
    assert sentence.startswith("The input 'categorical' is missing")


def test_every_array_of_the_document_says_what_it_holds(client: httpx.Client) -> None:
    """Generators give up on an array that does not."""

    def arrays(value: Any) -> list[Any]:
        if isinstance(value, list):
            return [found for each in value for found in arrays(each)]
        if not isinstance(value, dict):
            return []
        kind = value.get("type")
        own = [value] if kind == "array" or (isinstance(kind, list) and "array" in kind) else []
        return own + [found for each in value.values() for found in arrays(each)]

    found = arrays(client.get("/openapi.json").json())
    assert found
    assert all("items" in each for each in found)
