"""`docker compose up` for real: train into an empty volume, serve it healthy; a second start trains nothing."""

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = f"mmoe-test-{os.getpid()}"
LARGEST_IMAGE_BYTES = 300_000_000  # beyond the base image

pytestmark = pytest.mark.docker


def docker(*arguments: str, timeout_s: int = 60, port: int = 0) -> str:
    command = ["docker", *arguments]
    env = {**os.environ, "PORT": str(port)}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout}\n{run.stderr}"
    return run.stdout


def compose(*arguments: str, timeout_s: int = 60, port: int = 0) -> str:
    return docker("compose", "-p", PROJECT, *arguments, timeout_s=timeout_s, port=port)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Start everything under a project name of its own on a free port; remove all of it afterwards."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    for probe in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(probe, capture_output=True, check=False, timeout=60).returncode != 0:
            pytest.skip(f"`{' '.join(probe)}` fails: no running engine with Compose v2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    try:
        compose("up", "--build", "--detach", "--wait", "--wait-timeout", "540", timeout_s=900, port=number)
        yield number
    finally:
        compose("down", "--volumes", "--rmi", "local", "--timeout", "10", timeout_s=120)


def call(port: int, path: str, body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


def image_bytes(image: str) -> int:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def test_it_serves_the_model_that_it_trained(port: int) -> None:
    answer = call(port, "/v1/predict", {"instances": [{}, {}]})
    assert answer["version"] == 1
    rows = answer["predictions"]
    assert isinstance(rows, list)
    assert len(rows) == 2
    for weights in rows[0]["gate_weights"].values():
        assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_compose_calls_the_service_healthy(port: int) -> None:
    assert '"Health":"healthy"' in compose("ps", "--format", "json", "service").replace(" ", "")


def test_the_service_image_has_no_torch_and_no_root(port: int) -> None:
    code = "import importlib.util as u, os; print(u.find_spec('torch'), u.find_spec('onnx'), os.getuid() != 0)"
    assert compose("exec", "-T", "service", "python", "-c", code).split() == ["None", "None", "True"]


def test_the_service_image_is_small(port: int) -> None:
    base = (ROOT / "Dockerfile").read_text().partition("ARG PYTHON=")[2].split()[0]
    assert image_bytes(f"{PROJECT}-service") - image_bytes(base) < LARGEST_IMAGE_BYTES


def test_a_second_start_trains_nothing(port: int) -> None:
    compose("up", "--detach", "--wait", "--wait-timeout", "120", timeout_s=180, port=port)
    call(port, "/health/ready")
    found = compose("exec", "-T", "service", "sh", "-c", "ls /models/*/*/model.onnx").split()
    assert len(found) == 1
