"""`docker compose up` of a copy of the files, under its own project name on free ports."""

import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PROJECT = f"mmoe-test-{os.getpid()}"
SERVING = {"trainer", "settings", "service", "balancer"}
WITH_PROMETHEUS = SERVING | {"prometheus-volume", "prometheus", "alertmanager"}
FROM_A_REGISTRY = ("nginx", "prom/")
REPLICAS = 2
CLIENTS = 8
ROW: dict[str, object] = {"instances": [{}]}
WAIT_S = 180
"""An end to waiting, for a machine under heavy load."""


class Stack(NamedTuple):
    """Running stack, the copy of the files it runs from, and its address."""

    home: Path
    env: dict[str, str]
    url: str
    prometheus: str

    def compose(self, *arguments: str, timeout_s: int = 180) -> str:
        return docker("compose", "-p", PROJECT, *arguments, timeout_s=timeout_s, env=self.env, cwd=self.home)

    def up(self, *arguments: str, timeout_s: int = 180) -> None:
        waiting = ("--detach", "--wait", "--wait-timeout", str(timeout_s - 20))
        self.compose("--profile", "prometheus", "up", *waiting, *arguments, timeout_s=timeout_s)

    def replicas(self) -> list[str]:
        """List the running containers of the service."""
        return self.compose("ps", "--quiet", "service").split()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without compose's own variables.

    But for where packages come from.
    """
    read = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())) - {"PIP_EXTRA_INDEX_URL"}
    return {key: value for key, value in os.environ.items() if key not in read and not key.startswith("COMPOSE_")}


def run(
    *command: str, timeout_s: int = 60, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=cwd, env=clean_environment() | (env or {}), capture_output=True, text=True, timeout=timeout_s,
        check=False,
    )  # fmt: skip


def docker(*arguments: str, timeout_s: int = 60, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    done = run("docker", *arguments, timeout_s=timeout_s, env=env, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


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


def need_docker() -> None:
    """Skip where there is no engine, or no Compose v2."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    for probe in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(probe, capture_output=True, check=False, timeout=60).returncode != 0:
            pytest.skip(f"`{' '.join(probe)}` fails: no running engine with Compose v2")


@contextmanager
def running_stack(home: Path, ports: tuple[int, int, int, int]) -> Iterator[Stack]:
    """Start all but Grafana from a copy of the files.

    In an empty directory; all of it is removed afterwards.
    """
    for name in ("docker-compose.yml", "Dockerfile", ".dockerignore", ".env"):
        shutil.copy(ROOT / name, home)
    rooms = set(re.findall(r"(?m)^COPY ([a-z]+) [a-z]+$", (ROOT / "Dockerfile").read_text()))
    for name in ("deploy", *rooms):
        shutil.copytree(ROOT / name, home / name)
    env = dict(zip(("PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRPC_PORT"), map(str, ports), strict=True))
    made = Stack(home, env, *(f"http://127.0.0.1:{number}" for number in ports[:2]))
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


def roll(stack: Stack) -> "subprocess.CompletedProcess[str]":
    return run("sh", "deploy/roll.sh", timeout_s=400, env=stack.env | {"PROJECT": PROJECT}, cwd=stack.home)


@contextmanager
def load(stack: Stack, headers: dict[str, str]) -> Iterator[Counter[str]]:
    """Ask for predictions over many connections meanwhile, and count the answers.

    Also for a while before and after.
    """
    enough = threading.Event()
    seen: Counter[str] = Counter()

    def ask() -> None:
        with httpx.Client(base_url=stack.url, trust_env=False, timeout=40, headers=headers) as client:
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
        yield seen
        before = seen.total()
        assert until(lambda: seen.total() > before + 100)
    finally:
        enough.set()
        for client in clients:
            client.join()
