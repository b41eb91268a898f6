"""Overlays of deploy/kubernetes as `kubectl kustomize` renders them."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import read_settings, unknown_variables

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("kind", "cloud")
COMPONENTS = tuple(sorted(path.name for path in (KUBERNETES / "components").iterdir()))
OLDEST_KUBECTL = (1, 27)
"""Older ones know no components, or not all of their fields."""

Manifest = dict[str, Any]


@functools.cache
def render(directory: Path) -> tuple[Manifest, ...]:
    """Render a kustomization; skip the test where there is no kubectl that can."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl")
    told = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_KUBECTL:
        pytest.skip(f"kubectl is older than {OLDEST_KUBECTL}: {told.strip()}")
    run = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return tuple(yaml.safe_load_all(run.stdout))


def overlay(name: str) -> tuple[Manifest, ...]:
    return render(KUBERNETES / "overlays" / name)


def with_components(directory: Path, *components: str) -> tuple[Manifest, ...]:
    """Render the base with these components; the kustomization that says so is written here."""
    base, *others = (
        os.path.relpath(KUBERNETES / path, directory)
        for path in ("base", *(f"components/{name}" for name in components))
    )
    kustomization = {"resources": [base], "components": others}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(directory)


def one(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """Return the object of a kind and name; that of a generated one without its hash."""
    (found,) = [
        each
        for each in manifests
        if each["kind"] == kind and re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", each["metadata"]["name"])
    ]
    return found


def one_pod(manifests: tuple[Manifest, ...]) -> Manifest:
    """Return the template of the service's pods."""
    template: Manifest = one(manifests, "Deployment", "mmoe")["spec"]["template"]
    return template


def pod_of(manifest: Manifest) -> Manifest | None:
    """Return the template of an object's pods; None for one without."""
    spec = manifest.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    template: Manifest | None = spec.get("template")
    return template


def pods(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Give the names and templates of all pods."""
    for manifest in manifests:
        if (template := pod_of(manifest)) is not None:
            yield manifest["metadata"]["name"], template


def containers(template: Mapping[str, Any]) -> list[Manifest]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def load(path: Path) -> Manifest:
    (document,) = yaml.safe_load_all(path.read_text())
    assert isinstance(document, dict)
    return document


def settings_of(manifests: tuple[Manifest, ...]) -> dict[str, str]:
    data: dict[str, str] = one(manifests, "ConfigMap", "mmoe")["data"]
    return data


def check_drain(environment: dict[str, str], spec: Manifest) -> None:
    assert unknown_variables(environment) == []
    settings = read_settings(environment)
    assert spec["terminationGracePeriodSeconds"] > settings.drain_delay_s + settings.drain_timeout_s + 5
    assert settings.drain_delay_s > 0


def check_confined(context: Manifest, container: Manifest) -> None:
    assert context["runAsNonRoot"]
    assert context["runAsUser"] == int((ROOT / "Dockerfile").read_text().partition("--uid ")[2].split()[0])
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["resources"]["limits"]["memory"]
