"""The manifests fit the API's schemas and each other, and what they ask of the service it does."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml

from service.settings import read_settings, unknown_variables

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
MANIFESTS = sorted(path.name for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
CLIENTS = ROOT / ".venv-clients"
KSERVE = KUBERNETES / "kserve"

Manifest = dict[str, Any]


def load(path: Path) -> Manifest:
    (document,) = yaml.safe_load_all(path.read_text())
    assert isinstance(document, dict)
    return document


def of_kind(kind: str) -> Manifest:
    (found,) = [manifest for manifest in map(load, map(KUBERNETES.joinpath, MANIFESTS)) if manifest["kind"] == kind]
    return found


@pytest.fixture
def pod() -> Manifest:
    template: Manifest = of_kind("Deployment")["spec"]["template"]
    return template


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_fits_the_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(load(KUBERNETES / name), version, strict=True)


def test_the_schemas_find_a_field_that_is_no_field() -> None:
    manifest = of_kind("Deployment")
    manifest["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(manifest, NEWEST, strict=True)


def test_the_kustomization_takes_all_of_them() -> None:
    assert sorted(KUSTOMIZATION["resources"]) == MANIFESTS
    (image,) = KUSTOMIZATION["images"]
    assert image["name"] == of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]


def test_all_speak_of_the_same_pods(pod: Manifest) -> None:
    labels = pod["metadata"]["labels"].items()
    for kind, where in (("Deployment", "matchLabels"), ("PodDisruptionBudget", "matchLabels")):
        assert of_kind(kind)["spec"]["selector"][where].items() <= labels
    assert of_kind("Service")["spec"]["selector"].items() <= labels
    target, deployment = of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"], of_kind("Deployment")
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"], "the autoscaler's number would be overwritten at every apply"
    (container,) = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in of_kind("Service")["spec"]["ports"]} <= ports
    assert "cpu" in container["resources"]["requests"], "utilisation is a share of what is asked for"
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    claim = of_kind("PersistentVolumeClaim")["metadata"]["name"]
    assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claim
    assert container["envFrom"] == [{"configMapRef": {"name": of_kind("ConfigMap")["metadata"]["name"]}}]


def kserve_environment() -> dict[str, str]:
    (container,) = load(KSERVE / "servingruntime.yaml")["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_the_grace_is_longer_than_the_drain(pod: Manifest) -> None:
    predictor = load(KSERVE / "inferenceservice.yaml")["spec"]["predictor"]
    for environment, spec in ((of_kind("ConfigMap")["data"], pod["spec"]), (kserve_environment(), predictor)):
        assert unknown_variables(environment) == []
        settings = read_settings(environment)
        assert spec["terminationGracePeriodSeconds"] > settings.drain_delay_s + settings.drain_timeout_s + 5
        assert settings.drain_delay_s > 0


def test_containers_are_confined(pod: Manifest) -> None:
    (of_runtime,) = load(KSERVE / "servingruntime.yaml")["spec"]["containers"]
    for container, shared in ((pod["spec"]["containers"][0], pod["spec"]["securityContext"]), (of_runtime, {})):
        context = {**shared, **container["securityContext"]}
        assert context["runAsNonRoot"]
        assert context["runAsUser"] == int((ROOT / "Dockerfile").read_text().partition("--uid ")[2].split()[0])
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["limits"]["memory"]


def test_the_probes_ask_what_the_service_answers(
    artifact: Any, start_service: Callable[..., Any], pod: Manifest
) -> None:
    (of_runtime,) = load(KSERVE / "servingruntime.yaml")["spec"]["containers"]
    containers = [pod["spec"]["containers"][0], of_runtime]
    asked = {
        (kind, container[kind]["httpGet"]["path"])
        for container in containers
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    with start_service(artifact.models_dir) as service:
        for kind, path in asked:
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
    assert model["storageUri"] == f"pvc://{of_kind('PersistentVolumeClaim')['metadata']['name']}"
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
