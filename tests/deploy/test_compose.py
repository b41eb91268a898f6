"""`docker compose up` for real.

Train into an empty volume, two healthy replicas behind the balancer, all watched.

Grafana alone is not started: its image comes from a registry only. Prometheus is asked what its
dashboard would ask.
"""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.compose import (
    PROJECT,
    REPLICAS,
    SERVING,
    WITH_PROMETHEUS,
    Stack,
    docker,
    load,
    need_docker,
    predict,
    query,
    run,
    until,
)

ROOT = Path(__file__).parents[2]
LARGEST_IMAGE_BYTES = 300_000_000  # beyond the base image
MORE_REPLICAS = 4

pytestmark = pytest.mark.docker


def test_the_balancer_passes_on_what_the_trained_model_answers(stack: Stack) -> None:
    answer = httpx.post(f"{stack.url}/v1/predict", json={"instances": [{}, {}]}, trust_env=False).json()
    assert answer["version"] == 1
    assert len(answer["predictions"]) == 2
    for weights in answer["predictions"][0]["gate_weights"].values():
        assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_calls_over_grpc_pass_the_balancer(stack: Stack) -> None:
    pytest.importorskip("grpc", reason="the extra grpc is not installed")
    from tests.support.grpc_calls import calling, numeric

    each = 'sum by (instance) (mmoe_requests_total{route="grpc_infer", status="200"}) > 0'
    with calling(f"127.0.0.1:{stack.env['GRPC_PORT']}") as call:

        def all_answer() -> bool:
            answer = call("ModelInfer", model_name="synthetic", inputs=[numeric([[0.0] * 100])])
            assert answer is not None, call.said
            assert answer.model_version == "1"
            return len(query(stack, each)) == REPLICAS

        assert until(all_answer), "one connection, and both replicas answer"


def test_all_are_confined_and_healthy(stack: Stack) -> None:
    listed = stack.compose("ps", "--all", "--quiet").split()
    containers = json.loads(docker("inspect", *listed))
    long_lived = [c for c in containers if c["State"]["Running"]]
    assert {c["State"]["Health"]["Status"] for c in long_lived} == {"healthy"}
    assert len(long_lived) == REPLICAS + 3
    for container in containers:
        host, name = container["HostConfig"], container["Name"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0, name
        assert {p["HostIp"] for ports in (host["PortBindings"] or {}).values() for p in ports} <= {"127.0.0.1"}, name
    for container in long_lived:
        root = docker("exec", container["Id"], "sh", "-c", "id -u; grep CapEff /proc/self/status").split()
        assert root[0] != "0"
        assert int(root[-1], 16) == 0


def test_the_service_image_has_no_torch_and_is_small(stack: Stack) -> None:
    code = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('onnx'))"
    assert stack.compose("exec", "-T", "service", "python", "-c", code).split() == ["None", "None"]
    base = (ROOT / "Dockerfile").read_text().partition("ARG PYTHON=")[2].split()[0]
    sizes = [int(docker("image", "inspect", "--format", "{{.Size}}", i)) for i in (f"{PROJECT}-service", base)]
    assert sizes[0] - sizes[1] < LARGEST_IMAGE_BYTES


def test_prometheus_knows_the_alerts_and_answers_every_panel(
    stack: Stack, panel_queries: dict[str, str], not_numbers: Callable[[str, dict[str, str]], dict[str, object]]
) -> None:
    groups = httpx.get(f"{stack.prometheus}/api/v1/rules", trust_env=False).json()["data"]["groups"]
    rules = [rule["name"] for group in groups for rule in group["rules"]]
    files = [yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text()) for name in ("rules.yml", "replicas.yml")]
    written = [group for file in files for group in file["groups"]]
    assert sorted(rules) == sorted(r.get("alert") or r["record"] for group in written for r in group["rules"])
    wrong: dict[str, object] = {}

    def answered() -> bool:
        nonlocal wrong
        predict(stack, 4)
        wrong = not_numbers(stack.prometheus, panel_queries)
        return not wrong

    assert until(answered), wrong
    assert len(query(stack, 'up{job="mmoe"} == 1')) == REPLICAS
    assert query(stack, "mmoe:replicas:expected")[0]["value"][1] == str(REPLICAS)
    told = httpx.get(f"{stack.prometheus}/api/v1/alertmanagers", trust_env=False).json()["data"]
    assert len(told["activeAlertmanagers"]) == 1


def test_more_replicas_are_found_and_leave_under_load_without_a_failed_request(stack: Stack) -> None:
    stack.up("--no-recreate", "--scale", f"service={MORE_REPLICAS}")
    answered = 'sum by (instance) (mmoe_requests_total{route="predict", status="200"}) > 0'

    def all_answer() -> bool:
        assert set(predict(stack, 16)) == {200}
        return len(query(stack, answered)) >= MORE_REPLICAS

    assert until(all_answer), query(stack, answered)
    with load(stack, {}) as seen:
        stack.up("--no-recreate", "--scale", f"service={REPLICAS}")
    assert set(seen) == {"200"}
    assert len(stack.replicas()) == REPLICAS


def test_a_paused_replica_fails_no_prediction(stack: Stack, measured: Callable[[str], None]) -> None:
    victim = stack.replicas()[0]
    with load(stack, {}) as seen:
        try:
            assert until(lambda: run("docker", "pause", victim).returncode == 0)  # a busy kernel may refuse at first
            before = seen.total()
            assert until(lambda: seen.total() > before + 40)
        finally:
            docker("unpause", victim)
    assert set(seen) == {"200"}
    measured(f"{seen.total()} predictions, none failed")


def test_a_killed_replica_is_missed_though_its_series_ends(stack: Stack) -> None:
    missing, up = 'ALERTS{alertname="ReplicasMissing"}', 'up{job="mmoe"}'
    assert until(lambda: len(query(stack, up)) == REPLICAS and not query(stack, missing)), query(stack, up)
    victim = stack.replicas()[0]
    docker("kill", victim)
    try:
        assert until(lambda: len(query(stack, up)) < REPLICAS), query(stack, up)
        assert until(lambda: bool(query(stack, missing)))
    finally:
        docker("start", victim)
    assert until(lambda: not query(stack, missing))


def test_each_replica_can_be_asked(stack: Stack) -> None:
    told = stack.compose("exec", "-T", "balancer", "sh", "/etc/mmoe/each-replica.sh", "GET", "/health/ready")
    assert told.count("ready") == REPLICAS


def test_a_second_start_trains_nothing(stack: Stack) -> None:
    stack.up()
    assert set(predict(stack, 4)) == {200}
    assert len(stack.compose("exec", "-T", "service", "sh", "-c", "ls /models/*/*/model.onnx").split()) == 1


def test_it_starts_without_the_monitoring_and_keeps_grafana_without_a_secret() -> None:
    need_docker()
    assert set(docker("compose", "--profile", "serving", "config", "--services").split()) == SERVING
    assert set(docker("compose", "--profile", "prometheus", "config", "--services").split()) == WITH_PROMETHEUS
    config = json.loads(docker("compose", "config", "--format", "json"))["services"]
    assert config.keys() == WITH_PROMETHEUS | {"grafana"}
    assert config["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == ""
    set_ = json.loads(docker("compose", "config", "--format", "json", env={"GRAFANA_ADMIN_PASSWORD": "chosen"}))
    of_grafana = set_["services"]["grafana"]["environment"]
    assert of_grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "false"
    for name, service in config.items():
        image = service.get("image", "built:here").rpartition(":")
        assert image[2][-1:].isalnum() and image[2] != "latest", name  # noqa: PT018
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["read_only"], name
