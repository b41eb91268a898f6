"""One process or several: started together, restarted alone, ended in order.

And what `python -m service` says.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.system.cores import usable_cores
from tests.support.processes import alive, children, connections
from tests.support.server import completed

ROW = {"instances": [{"age": 1.5}]}


def test_help_prints_every_setting_with_its_sentence() -> None:
    run = completed("--help")
    assert run.returncode == 0
    for name, sentence in (("MMOE_MODELS", "Directory of the models"), ("MMOE_WORKERS", "Worker processes")):
        assert name in run.stdout
        assert sentence in run.stdout


@pytest.mark.parametrize(
    ("arguments", "settings", "status", "sentence"),
    [
        (["--port"], {}, 2, "takes no '--port'; see --help"),
        ([], {"port": "http"}, 2, "MMOE_PORT is 'http'; expected a whole number"),
        ([], {"models": "/nowhere/at/all", "port": "0"}, 1, "MMOE_MODELS"),
        ([], {"models": "/nowhere/at/all", "port": "0", "workers": "2"}, 1, "MMOE_MODELS"),
        ([], {"host": "192.0.2.1"}, 2, "192.0.2.1"),
    ],
)
def test_what_cannot_be_ends_with_a_sentence(
    arguments: list[str], settings: dict[str, str], status: int, sentence: str
) -> None:
    run = completed(*arguments, **settings)
    assert run.returncode == status
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_ends_with_a_sentence(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        run = completed(models=str(tmp_path), port=str(other.getsockname()[1]), workers=workers)
    assert run.returncode == 2
    assert "MMOE_PORT" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_unknown_setting_is_pointed_out(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models, prot="1") as service:
        assert any(
            "MMOE_PROT is not a setting and is ignored; did you mean MMOE_PORT?" in line for line in service.lines
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_it_cleanly(
    start_service: Callable[..., Any], models: Path, tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    with start_service(models, workers=workers, run_dir=str(tmp_path)) as service:
        processes = [service.process.pid, *children(service.process.pid)]
        assert len(processes) == (1 if workers == "1" else 3)
        assert httpx.get(f"{service.url}/health/ready").status_code == 200
        assert service.end(number) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
    assert list(tmp_path.iterdir()) == [], "the shared memory is gone"


def test_a_request_in_flight_is_answered_before_the_end(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models, default_model="hand") as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
            body = b'{"instances": [{}]}'
            head = b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body[:5])
            service.process.send_signal(signal.SIGTERM)
            service.wait_for("Draining")
            connection.sendall(body[5:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert service.end() == 0


def test_while_it_drains_it_serves_but_is_not_ready(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models, default_model="hand", drain_delay_s="60") as service, httpx.Client() as client:
        assert client.get(f"{service.url}/health/ready").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("Draining")
        answer = client.get(f"{service.url}/health/ready")
        assert answer.status_code == 503
        assert "draining" in answer.json()["detail"]
        assert client.get(f"{service.url}/health/live").status_code == 200
        assert client.post(f"{service.url}/v1/predict", json=ROW).status_code == 200
        assert service.end() == 0, "a second signal ends it at once"


def test_several_workers_answer_alike_and_a_dead_one_is_replaced(
    start_service: Callable[..., Any], models: Path
) -> None:
    with start_service(models, default_model="hand", workers="2") as service:
        first = children(service.process.pid)
        assert len(first) == 2
        answers = {_ask(service.url) for _ in range(12)}
        assert len(answers) == 1
        os.kill(first[0], signal.SIGKILL)
        service.wait_for(rf"Worker {first[0]} ended with status -9; another starts")
        second = _await(lambda: len(children(service.process.pid)) == 2 and children(service.process.pid))
        assert second[0] == first[1]
        assert second[1] not in first
        for _ in range(12):
            assert _ask(service.url) in answers
        assert service.end() == 0


def test_connections_are_spread_over_the_workers(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models, workers="2") as service, contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(httpx.Client(base_url=service.url))
            assert client.get("/health/live").status_code == 200
        counts = [connections(pid, service.port) for pid in children(service.process.pid)]
    assert sum(counts) == 100
    assert min(counts) > 0


def test_a_connection_waits_for_a_worker_where_none_is_left(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models, workers="2") as service:
        for pid in children(service.process.pid):
            os.kill(pid, signal.SIGKILL)
        assert httpx.get(f"{service.url}/health/live", timeout=60).status_code == 200
        assert service.end() == 0


def test_workers_end_when_their_launcher_is_gone(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models, workers="2") as service:
        workers = children(service.process.pid)
        service.process.kill()
        service.process.wait()
        _await(lambda: not any(alive(pid) for pid in workers))


def test_a_worker_that_cannot_start_ends_the_start(start_service: Callable[..., Any], tmp_path: Path) -> None:
    run = completed(models=str(tmp_path / "nope"), port="0", workers="3")
    assert run.returncode == 1
    assert "cannot be read" in run.stderr


def test_cores_are_counted_by_affinity_and_quota(tmp_path: Path) -> None:
    mine = len(os.sched_getaffinity(0))
    own = tmp_path / "cgroup"

    def cores(version: int, **files: str) -> int:
        root = tmp_path / f"root-{len(list(tmp_path.iterdir()))}"
        group = root / "cpu" / "a" / "b" if version == 1 else root / "a" / "b"
        group.mkdir(parents=True)
        for name, content in files.items():
            (group.parent / name.replace("_max", ".max").replace("cfs", "cpu.cfs")).write_text(content)
        own.write_text("0::/a/b\n" if version == 2 else "3:cpu,cpuacct:/a/b\n7:memory:/x\n")
        return usable_cores(root, own)

    assert cores(2) == mine
    assert cores(2, cpu_max="max 100000\n") == mine
    assert cores(2, cpu_max="100000 100000\n") == 1
    assert cores(2, cpu_max="50000 100000\n") == 1
    assert cores(2, cpu_max=f"{mine * 100000 + 1} 100000\n") == mine
    assert cores(2, cpu_max="garbage\n") == mine
    assert cores(1, cfs_quota_us="100000", cfs_period_us="100000") == 1
    assert cores(1, cfs_quota_us="-1", cfs_period_us="100000") == mine
    assert usable_cores(tmp_path / "nope", tmp_path / "nope") == mine


def _ask(url: str) -> str:
    return httpx.post(f"{url}/v1/predict", json=ROW, timeout=30).text  # a connection of its own each time


def _await(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Ask until something is so; there is no event for the end of another's process."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["true"], check=True)
    return found
