"""The training job's pods fit the API's schemas, and its command trains on two machines."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
JOB = yaml.safe_load((KUBERNETES / "kubeflow" / "trainingjob.yaml").read_text())
REPLICAS: dict[str, Any] = JOB["spec"]["pytorchReplicaSpecs"]
DEMO = str(ROOT / "scripts" / "configs" / "synthetic.toml")
TINY = ["data.rows=300", "data.dims=4", "model.experts=2", "train.epochs=2", "train.device=cpu"]


@pytest.mark.parametrize("role", ["Master", "Worker"])
def test_a_pod_of_the_job_fits_the_schema(role: str) -> None:
    template = REPLICAS[role]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mmoe", **template["metadata"]}}
    pod["spec"] = {**template["spec"], "restartPolicy": REPLICAS[role]["restartPolicy"]}
    for version in ("1.29", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(pod, version, strict=True)


def test_the_job_is_one_of_the_operator_s() -> None:
    assert (JOB["apiVersion"], JOB["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert REPLICAS.keys() == {"Master", "Worker"}
    assert REPLICAS["Master"]["replicas"] == 1
    (container,) = REPLICAS["Master"]["template"]["spec"]["containers"]
    assert container["name"] == "pytorch", "the operator finds the container by this name"
    pods = sum(replica["replicas"] for replica in REPLICAS.values())
    assert f"--nnodes={pods}" in container["command"]
    claims, _ = yaml.safe_load_all((KUBERNETES / "components/volume/claims.yaml").read_text())
    volumes = {volume["name"]: volume for volume in REPLICAS["Master"]["template"]["spec"]["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claims["metadata"]["name"]
    assert claims["spec"]["accessModes"] == ["ReadWriteMany"]


def expanded(word: str, variables: dict[str, str]) -> str:
    """Expand a word of a container's command as Kubernetes does."""
    return re.sub(r"\$\((\w+)\)", lambda name: variables[name[1]], word)


def test_two_machines_train_by_the_job_s_command(tmp_path: Path) -> None:
    """Run both pods' command here, one process each, with what the operator sets."""
    (container,) = REPLICAS["Master"]["template"]["spec"]["containers"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    pods = []
    for rank in ("0", "1"):
        told = {"RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
        words = [expanded(word, told) for word in container["command"]]
        words = ["--nproc-per-node=1" if word.startswith("--nproc") else word for word in words]
        assert words[0] == "torchrun"
        command = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
        command += [DEMO, "--models", str(tmp_path / "models"), "--set", *TINY]
        environment = {**os.environ, **told}
        pods.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        said = [pod.communicate(timeout=240)[1] for pod in pods]
    finally:
        for pod in pods:
            pod.kill()
    assert [pod.returncode for pod in pods] == [0, 0], said
    assert [len(re.findall("^epoch ", text, re.MULTILINE)) for text in said] == [2, 0]
    assert [path.name for path in (tmp_path / "models" / "synthetic").iterdir()] == ["1"]
