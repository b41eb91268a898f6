"""The scoring job's pods fit the API's schemas, and its command is one that the program takes."""

import shlex
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from scripts.score import parse

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
JOB = yaml.safe_load((KUBERNETES / "ray" / "scoring.yaml").read_text())
CLUSTER: dict[str, Any] = JOB["spec"]["rayClusterSpec"]
(WORKERS,) = CLUSTER["workerGroupSpecs"]


@pytest.mark.parametrize("group", [CLUSTER["headGroupSpec"], WORKERS], ids=["head", "workers"])
def test_a_pod_of_the_job_fits_the_schema(group: dict[str, Any]) -> None:
    template = group["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mmoe", **template["metadata"]}}
    pod["spec"] = template["spec"]
    for version in ("1.29", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(pod, version, strict=True)


def test_the_job_s_command_is_one_of_the_program() -> None:
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    interpreter, option, module, *words = shlex.split(JOB["spec"]["entrypoint"])
    assert (interpreter, option, module) == ("python", "-m", "scripts.score")
    options = parse(words)
    (container,) = WORKERS["template"]["spec"]["containers"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (options.model, *map(Path, options.input), options.output):
        assert any(path.is_relative_to(mount) for mount in mounts)
    assert options.ray == "auto"
    cores = WORKERS["replicas"] * int(container["resources"]["limits"]["cpu"])
    assert options.processes < cores, "actors on every core leave none to those that read"


def test_the_cluster_s_version_is_the_one_that_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (pinned,) = [Requirement(line) for line in lines if line.startswith("ray==")]
    assert pinned.specifier.contains(CLUSTER["rayVersion"])
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["ray"]
    (ranged,) = [Requirement(line) for line in extra if line.startswith("ray")]
    assert ranged.specifier.contains(CLUSTER["rayVersion"])
