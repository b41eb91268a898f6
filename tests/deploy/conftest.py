"""Real nginx and Prometheus on free ports of this machine, and what the dashboard asks of
Prometheus.
"""

import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.compose import Stack, need_docker, running_stack, skip_without_images
from tests.support.server import ROOT, START_TIMEOUT_S, end

END_TIMEOUT_S = 40
VARIABLES = {"$__rate_interval": "1m", "$model": ".*", "$task": ".*"}


@dataclass(frozen=True)
class Program:
    """A process that runs, and where it answers."""

    process: "subprocess.Popen[str]"
    url: str

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, if it still runs, and return its status; kill it if it does not end."""
        return end(self.process, number, END_TIMEOUT_S)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(answers: Callable[[], bool], program: Program, log: Path) -> None:
    """Ask again and again whether a program answers, until it does, ends, or takes too long."""
    pause = threading.Event()
    for _ in range(START_TIMEOUT_S * 10):
        assert program.process.poll() is None, log.read_text()
        try:
            if answers():
                return
        except httpx.TransportError:
            pass
        pause.wait(0.1)
    pytest.fail(f"it did not start: {log.read_text()}")


@contextmanager
def running_program(command: list[str], url: str, ready: str, log: Path) -> Iterator[Program]:
    """Run a program that logs to a file; it is up when it answers a path with 200."""
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, text=True)
    program = Program(process, url)
    try:
        wait_until(lambda: httpx.get(url + ready, trust_env=False).status_code == 200, program, log)
        yield program
    finally:
        program.end()


@pytest.fixture(scope="session")
def start_program() -> Callable[..., Any]:
    """Give a context manager that runs any program; see `running_program`."""
    return running_program


@pytest.fixture(scope="session")
def port() -> Callable[[], int]:
    """Give a function that finds a free port."""
    return free_port


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """Give a function that finds a program, or skips the test naming the Debian package that
    has it.
    """

    def find(name: str, package: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if path is None:
            pytest.skip(f"{name} is not installed (Debian package {package})")
        return path

    return find


@pytest.fixture(scope="session")
def stack(port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run `docker compose up`, once for all tests that ask for it.

    Skip them where that cannot be.
    """
    need_docker()
    skip_without_images()
    with running_stack(tmp_path_factory.mktemp("compose"), (port(), port(), port(), port())) as made:
        yield made


@pytest.fixture(scope="session")
def panel_queries() -> dict[str, str]:
    """Give every query of the dashboard by its panel and letter, its variables replaced as
    Grafana does for All.
    """
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/mmoe.json").read_text())
    found: dict[str, str] = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            assert "$" not in query
            found[f"{panel['title']}, {target['refId']}"] = query
    return found


@pytest.fixture(scope="session")
def not_numbers() -> Callable[[str, dict[str, str]], dict[str, object]]:
    """Give a function that asks a Prometheus the queries and returns those that give no number,
    with what they give.
    """

    def ask(url: str, queries: dict[str, str]) -> dict[str, object]:
        wrong: dict[str, object] = {}
        with httpx.Client(base_url=url, trust_env=False) as client:
            for name, query in queries.items():
                answer = client.post("/api/v1/query", data={"query": query}).json()
                values = [sample["value"][1] for sample in answer.get("data", {}).get("result", [])]
                if not values or {"NaN", "+Inf", "-Inf"} & set(values):
                    wrong[name] = answer.get("error", values)
        return wrong

    return ask
