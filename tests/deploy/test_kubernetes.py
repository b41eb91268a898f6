"""The overlays of Kubernetes fit the API's schemas, and their objects fit each other."""

import re
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from service.settings import read_settings
from tests.support.overlays import (
    COMPONENTS,
    KUBERNETES,
    OVERLAYS,
    Manifest,
    check_confined,
    check_drain,
    containers,
    load,
    one,
    one_pod,
    overlay,
    pods,
    settings_of,
    with_components,
)

ROOT = Path(__file__).parents[2]
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
OPERATOR = "monitoring.coreos.com/v1"
SECRETS = {"mmoe-keys", "mmoe-loop-key", "mmoe-store"}
"""Secrets that docs/kubernetes.md has made by hand; the last one is optional."""


def resources() -> Iterator[Path]:
    """Give the files that hold whole objects."""
    for path in KUBERNETES.glob("**/kustomization.yaml"):
        for name in load(path).get("resources", []):
            if (path.parent / name).is_file():
                yield (path.parent / name).relative_to(KUBERNETES)


def check_schema(manifest: Manifest, version: str) -> None:
    """Check an object of Kubernetes itself; the operator's have a test of their own."""
    if manifest["apiVersion"] != OPERATOR:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", sorted(resources()), ids=str)
def test_an_object_fits_the_schema(name: Path, version: str) -> None:
    for manifest in yaml.safe_load_all((KUBERNETES / name).read_text()):
        check_schema(manifest, version)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_fits_the_schema(name: str, version: str) -> None:
    for manifest in overlay(name):
        check_schema(manifest, version)


def test_every_component_is_rendered_and_fits_the_schema(tmp_path: Path) -> None:
    in_overlays = {
        Path(path).name
        for name in OVERLAYS
        for path in load(KUBERNETES / "overlays" / name / "kustomization.yaml")["components"]
    }
    others = sorted(set(COMPONENTS) - in_overlays)
    assert others == ["init-container", "queue"]
    manifests = with_components(tmp_path, *others)
    for manifest in manifests:
        check_schema(manifest, NEWEST)
    copies, (service,) = containers(one_pod(manifests))[:1], containers(one_pod(manifests))[1:]
    assert [copy["image"] for copy in copies] == ["mmoe-models"]
    (kept,) = [mount for mount in service["volumeMounts"] if mount["name"] == copies[0]["volumeMounts"][0]["name"]]
    assert kept["mountPath"] == settings_of(manifests)["MMOE_MODELS"]
    scaled = one(manifests, "HorizontalPodAutoscaler", "mmoe")["spec"]["metrics"]
    queue = scaled[1]["pods"]["metric"]["name"]
    (rule,) = load(KUBERNETES / "components/queue/adapter.yaml")["rules"]["custom"]
    assert rule["seriesQuery"].startswith(queue + "{")
    assert f"`{queue}`" in (ROOT / "docs/metrics.md").read_text()


def test_the_schemas_find_a_field_that_is_no_field() -> None:
    manifest = load(KUBERNETES / "base/deployment.yaml")
    manifest["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(manifest, NEWEST, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_pods_name_is_there(name: str) -> None:
    manifests = overlay(name)
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests} | {
        ("Secret", secret) for secret in SECRETS
    }
    assert {each["metadata"].get("namespace") for each in manifests if each["kind"] != "Namespace"} == {"mmoe"}
    assert not [each for each in manifests if each["kind"] == "Secret"], "a secret is not kept with the manifests"
    for pod, template in pods(manifests):
        spec, volumes = template["spec"], {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        mounted = {mount["name"] for container in containers(template) for mount in container["volumeMounts"]}
        assert mounted == volumes.keys(), pod
        assert set(named(spec)) <= there, pod
    assert {("ConfigMap", "mmoe"), ("ConfigMap", "mmoe-jobs")}.isdisjoint(there), "names end with a hash"


def named(spec: Manifest) -> Iterator[tuple[str, str]]:
    """Give kinds and names of the objects that a pod needs."""
    yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
        elif "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        elif "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
    for container in containers({"spec": spec}):
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                yield "ConfigMap", source["configMapRef"]["name"]
            else:
                yield "Secret", source["secretRef"]["name"]
        for variable in container.get("env", []):
            yield "Secret", variable["valueFrom"]["secretKeyRef"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_all_speak_of_the_same_pods(name: str) -> None:
    manifests, pod = overlay(name), one_pod(overlay(name))
    labels, deployment = pod["metadata"]["labels"].items(), one(manifests, "Deployment", "mmoe")
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert one(manifests, kind, "mmoe")["spec"]["selector"]["matchLabels"].items() <= labels
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for service in ("mmoe", "mmoe-pods", "mmoe-operation"):
        spec = one(manifests, "Service", service)["spec"]
        assert spec["selector"].items() <= labels
        assert {port["targetPort"] for port in spec["ports"]} <= ports.keys()
        if spec.get("clusterIP") == "None":
            assert all(port["port"] == ports[port["targetPort"]] for port in spec["ports"]), "no proxy translates them"
    target = one(manifests, "HorizontalPodAutoscaler", "mmoe")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"], "the autoscaler's number would be overwritten at every apply"
    assert "cpu" in container["resources"]["requests"], "utilisation is a share of what is asked for"
    for job, template in pods(manifests):
        if job != "mmoe":
            own = template["metadata"]["labels"]
            assert not dict(labels).items() <= own.items(), f"{job} would be called as a replica"
    settings = read_settings(settings_of(manifests))
    assert ports == {"http": settings.port, "grpc": settings.grpc_port, "operation": settings.operation_port}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_operation_port_is_for_prometheus_and_for_the_loop_alone(name: str) -> None:
    manifests = overlay(name)
    rules = one(manifests, "NetworkPolicy", "mmoe")["spec"]["ingress"]
    (operation,) = [rule for rule in rules if {"port": "operation"} in rule["ports"]]
    assert len(operation["ports"]) == 1
    namespaces = [peer["namespaceSelector"]["matchLabels"] for peer in operation["from"] if "namespaceSelector" in peer]
    assert namespaces == [{"kubernetes.io/metadata.name": "monitoring"}]
    (let_in,) = [peer["podSelector"]["matchLabels"] for peer in operation["from"] if "podSelector" in peer]
    operators = {pod for pod, template in pods(manifests) if let_in.items() <= template["metadata"]["labels"].items()}
    assert operators == {"mmoe-loop"}
    closed = one(manifests, "NetworkPolicy", "mmoe-default")["spec"]
    assert (closed["podSelector"], closed["policyTypes"]) == ({}, ["Ingress", "Egress"])
    assert "ingress" not in closed


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_grace_is_longer_than_the_drain(name: str) -> None:
    check_drain(settings_of(overlay(name)), one_pod(overlay(name))["spec"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_are_confined(name: str) -> None:
    confined = list(pods(overlay(name)))
    assert len(confined) == 4
    for _, template in confined:
        assert template["spec"]["automountServiceAccountToken"] is False
        for container in containers(template):
            check_confined({**template["spec"]["securityContext"], **container["securityContext"]}, container)


def test_images_of_the_cloud_are_named_by_digest() -> None:
    for pod, template in pods(overlay("cloud")):
        for container in containers(template):
            assert re.fullmatch(r"registry\.example/mmoe-\w+@sha256:[0-9a-f]{64}", container["image"]), pod
