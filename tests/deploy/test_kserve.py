"""The service as a runtime of KServe.

The manifests fit KServe's API, and what they ask of the service it does.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.settings import read_settings
from tests.support.overlays import KUBERNETES, check_confined, check_drain, load

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
KSERVE = KUBERNETES / "kserve"
CLAIMS = "components/volume/claims.yaml"


def kserve_environment() -> dict[str, str]:
    (container,) = load(KSERVE / "servingruntime.yaml")["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_the_grace_of_kserve_is_longer_than_the_drain() -> None:
    check_drain(kserve_environment(), load(KSERVE / "inferenceservice.yaml")["spec"]["predictor"])


def test_a_pod_of_kserve_is_confined() -> None:
    (container,) = load(KSERVE / "servingruntime.yaml")["spec"]["containers"]
    check_confined(container["securityContext"], container)


def test_the_probes_of_kserve_ask_what_the_service_answers(artifact: Any, start_service: Callable[..., Any]) -> None:
    (container,) = load(KSERVE / "servingruntime.yaml")["spec"]["containers"]
    with start_service(artifact.models_dir) as service:
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[kind]["httpGet"]["path"]
            assert ("ready" in path) == (kind == "readinessProbe")
            assert httpx.get(service.url + path, trust_env=False).status_code == 200


@pytest.mark.clients
def test_kserve_knows_every_field() -> None:
    texts = [path.read_text() for path in sorted(KSERVE.glob("*.yaml"))]
    misspelt = [text.replace("metadata:\n  name: mmoe", "metadata:\n  nme: mmoe") for text in texts]
    unknown = [text.replace("serving.kserve.io/v1", "serving.kserve.io/v7") for text in texts]
    found = check_kserve([*texts, *misspelt, *unknown])
    assert found[: len(texts)] == [[] for _ in texts]
    assert all(found[len(texts) :])


def test_kserve_is_asked_for_the_runtime_and_the_protocol_that_there_are() -> None:
    runtime, service = load(KSERVE / "servingruntime.yaml"), load(KSERVE / "inferenceservice.yaml")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] == "v2"
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    formats = [
        {key: format[key] for key in model["modelFormat"]} for format in runtime["spec"]["supportedModelFormats"]
    ]
    assert model["modelFormat"] in formats
    claims = [claim["metadata"]["name"] for claim in yaml.safe_load_all((KUBERNETES / CLAIMS).read_text())]
    assert model["storageUri"].removeprefix("pvc://") in claims
    settings = read_settings(kserve_environment())
    assert settings.port == runtime["spec"]["containers"][0]["ports"][0]["containerPort"]


def check_kserve(texts: list[str]) -> list[list[str]]:
    """Have KServe's own client look at manifests; what it finds wrong with each."""
    if not (CLIENTS / ".clients").exists():
        pytest.skip("kserve is not installed in .venv-clients: `make clients` installs it")
    command = [str(CLIENTS / "bin/python"), str(ROOT / "tests/clients/check_kserve.py")]
    documents = "\n---\n".join(texts)
    run = subprocess.run(command, input=documents, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    found: list[list[str]] = json.loads(run.stdout)
    return found
