"""The objects for Prometheus' operator: the rules of deploy/prometheus, a monitor of the pods."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.overlays import KUBERNETES, load, one, one_pod, with_components

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
RULES = ROOT / "deploy" / "prometheus"


def test_the_rules_of_the_operator_are_those_of_prometheus(program: Callable[[str, str], str], tmp_path: Path) -> None:
    component = KUBERNETES / "components" / "monitoring"
    written = subprocess.run(
        ["sh", component / "write-rules.sh"], check=True, capture_output=True, text=True, timeout=30
    )
    assert (component / "rules.yaml").read_text() == written.stdout, "sh write-rules.sh > rules.yaml"
    spec = load(component / "rules.yaml")["spec"]
    meant = [group for name in ("rules.yml", "replicas.yml") for group in load(RULES / name)["groups"]]
    (expected,) = meant[-1]["rules"]
    expected["expr"] = 'max(kube_deployment_spec_replicas{deployment="mmoe"}) or vector(2)'
    assert spec == {"groups": meant}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(spec))
    (tmp_path / "test.yml").write_text(MISSING)
    promtool = program("promtool", "prometheus")
    run = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


MISSING = """
rule_files: [rules.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {series: 'up{job="mmoe", instance="a", namespace="mmoe"}', values: "1x40"}
      - {series: 'up{job="mmoe", instance="b", namespace="mmoe"}', values: "1x40"}
      - {series: 'kube_deployment_spec_replicas{deployment="mmoe", namespace="mmoe"}', values: "2x10 3x30"}
    alert_rule_test:
      - {alertname: ReplicasMissing, eval_time: 2m}
      - alertname: ReplicasMissing
        eval_time: 5m
        exp_alerts:
          - exp_labels: {severity: warning}
            exp_annotations: {summary: "2 replicas of the service answer, fewer than there are meant to be."}
"""


def test_prometheus_finds_the_pods_under_the_name_that_the_rules_count(tmp_path: Path) -> None:
    manifests = with_components(tmp_path, "monitoring")
    spec, pod = one(manifests, "PodMonitor", "mmoe")["spec"], one_pod(manifests)
    assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"][spec["jobLabel"]] == "mmoe"
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert (endpoint["port"], endpoint["path"]) == ("operation", "/metrics")


@pytest.mark.clients
def test_the_operator_knows_every_field(tmp_path: Path) -> None:
    manifests = with_components(tmp_path, "monitoring")
    objects = [one(manifests, kind, "mmoe") for kind in ("PodMonitor", "PrometheusRule")]
    wrong = copy.deepcopy(objects)
    wrong[0]["spec"]["podMetricsEndpoints"][0]["intervall"] = "15s"
    wrong[1]["spec"]["groups"][-1]["rules"][0]["exprs"] = "1"
    if not (CLIENTS / ".clients").exists():
        pytest.skip("its classes are not installed in .venv-clients: `make clients` installs them")
    command = [CLIENTS / "bin/python", ROOT / "tests/clients/check_prometheus_operator.py"]
    given = yaml.safe_dump_all([*objects, *wrong])
    run = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found[:2] == ["", ""]
    assert ["intervall" in found[2], "exprs" in found[3]] == [True, True]
