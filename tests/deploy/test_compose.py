"""`docker compose up` for real: train into an empty volume, two healthy replicas behind the balancer, all watched.

Grafana alone is not started: its image comes from a registry only. Prometheus is asked what its dashboard would ask.
"""

import json
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = f"mmoe-test-{os.getpid()}"
SERVING = {"trainer", "service", "balancer"}
WITH_PROMETHEUS = SERVING | {"prometheus-volume", "prometheus"}
FROM_A_REGISTRY = ("nginx", "prom/prometheus")
LARGEST_IMAGE_BYTES = 300_000_000  # beyond the base image
REPLICAS, MORE_REPLICAS = 2, 4
CLIENTS = 8
ROW: dict[str, object] = {"instances": [{}]}
WAIT_S = 60

pytestmark = pytest.mark.docker


class Stack(NamedTuple):
    """What runs, and where it answers."""

    env: dict[str, str]
    url: str
    prometheus: str

    def compose(self, *arguments: str, timeout_s: int = 180) -> str:
        return docker("compose", "-p", PROJECT, *arguments, timeout_s=timeout_s, env=self.env)

    def up(self, *arguments: str, timeout_s: int = 180) -> None:
        waiting = ("--detach", "--wait", "--wait-timeout", str(timeout_s - 20))
        self.compose("--profile", "prometheus", "up", *waiting, *arguments, timeout_s=timeout_s)

    def replicas(self) -> list[str]:
        """List the running containers of the service."""
        return self.compose("ps", "--quiet", "service").split()


def docker(*arguments: str, timeout_s: int = 60, env: dict[str, str] | None = None) -> str:
    command = ["docker", *arguments]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout}\n{run.stderr}"
    return run.stdout


def until(holds: Callable[[], bool]) -> bool:
    """Ask again every half second whether something holds."""
    pause = threading.Event()
    for _ in range(WAIT_S * 2):
        if holds():
            return True
        pause.wait(0.5)
    return False


def skip_without_images() -> None:
    """Skip unless the images that are not built here are there, or can be had."""
    for image in sorted(set(docker("compose", "config", "--images").split())):
        if not image.startswith(FROM_A_REGISTRY):
            continue
        for command in (["docker", "image", "inspect", image], ["docker", "pull", "-q", image]):
            if subprocess.run(command, capture_output=True, check=False, timeout=300).returncode == 0:
                break
        else:
            pytest.skip(f"the image {image} is neither here nor can it be pulled")


@pytest.fixture(scope="module")
def stack(port: Callable[[], int]) -> Iterator[Stack]:
    """Start all but Grafana under a project name of its own on free ports; remove all of it afterwards."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    for probe in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(probe, capture_output=True, check=False, timeout=60).returncode != 0:
            pytest.skip(f"`{' '.join(probe)}` fails: no running engine with Compose v2")
    skip_without_images()
    ports = port(), port()
    env = {"PORT": str(ports[0]), "PROMETHEUS_PORT": str(ports[1])}
    made = Stack(env, *(f"http://127.0.0.1:{number}" for number in ports))
    try:
        made.up("--build", timeout_s=900)
        yield made
    finally:
        made.compose("down", "--volumes", "--rmi", "local", "--timeout", "5")


def query(stack: Stack, text: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{stack.prometheus}/api/v1/query", params={"query": text}, trust_env=False).json()
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def predict(stack: Stack, times: int = 1) -> Counter[int]:
    """Ask for predictions, over a connection each, so that any replica may answer."""
    calls = (httpx.post(f"{stack.url}/v1/predict", json=ROW, trust_env=False, timeout=20) for _ in range(times))
    return Counter(call.status_code for call in calls)


def test_the_balancer_passes_on_what_the_trained_model_answers(stack: Stack) -> None:
    answer = httpx.post(f"{stack.url}/v1/predict", json={"instances": [{}, {}]}, trust_env=False).json()
    assert answer["version"] == 1
    assert len(answer["predictions"]) == 2
    for weights in answer["predictions"][0]["gate_weights"].values():
        assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_all_are_confined_and_healthy(stack: Stack) -> None:
    listed = stack.compose("ps", "--all", "--quiet").split()
    containers = json.loads(docker("inspect", *listed))
    long_lived = [c for c in containers if c["State"]["Running"]]
    assert {c["State"]["Health"]["Status"] for c in long_lived} == {"healthy"}
    assert len(long_lived) == REPLICAS + 2
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
    written = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    assert sorted(rules) == sorted(r.get("alert") or r["record"] for group in written for r in group["rules"])
    wrong: dict[str, object] = {}

    def answered() -> bool:
        nonlocal wrong
        predict(stack, 4)
        wrong = not_numbers(stack.prometheus, panel_queries)
        return not wrong

    assert until(answered), wrong
    assert len(query(stack, 'up{job="mmoe"} == 1')) == REPLICAS


def test_more_replicas_are_found_and_leave_under_load_without_a_failed_request(stack: Stack) -> None:
    stack.up("--no-recreate", "--scale", f"service={MORE_REPLICAS}")
    answered = 'sum by (instance) (mmoe_requests_total{route="predict", status="200"}) > 0'

    def all_answer() -> bool:
        assert set(predict(stack, 16)) == {200}
        return len(query(stack, answered)) >= MORE_REPLICAS

    assert until(all_answer), query(stack, answered)
    enough = threading.Event()
    seen: Counter[str] = Counter()

    def ask() -> None:
        with httpx.Client(base_url=stack.url, trust_env=False, timeout=20) as client:
            while not enough.is_set():
                try:
                    seen[str(client.post("/v1/predict", json=ROW).status_code)] += 1
                except httpx.TransportError as error:
                    seen[repr(error)] += 1

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        assert until(lambda: seen.total() > 100)
        stack.up("--no-recreate", "--scale", f"service={REPLICAS}")
        before = seen.total()
        assert until(lambda: seen.total() > before + 100)
    finally:
        enough.set()
        for client in clients:
            client.join()
    assert set(seen) == {"200"}
    assert len(stack.replicas()) == REPLICAS


def test_each_replica_can_be_asked(stack: Stack) -> None:
    told = stack.compose("exec", "-T", "balancer", "sh", "/etc/mmoe/each-replica.sh", "GET", "/health/ready")
    assert told.count("ready") == REPLICAS


def test_a_second_start_trains_nothing(stack: Stack) -> None:
    stack.up()
    assert set(predict(stack, 4)) == {200}
    assert len(stack.compose("exec", "-T", "service", "sh", "-c", "ls /models/*/*/model.onnx").split()) == 1


def test_it_starts_without_the_monitoring_and_keeps_grafana_without_a_secret() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
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
