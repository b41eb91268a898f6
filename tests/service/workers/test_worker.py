"""The life of a service: what signals do while it loads, under load, with slow clients.

With one worker and two.
"""

import asyncio
import contextlib
import functools
import json
import os
import re
import signal
import socket
from pathlib import Path

import httpx
import pytest

from service.keys import line_of, new_key
from tests.support.hand_model import write_model
from tests.support.hand_questions import predictions
from tests.support.hand_weights import make_weights
from tests.support.load import Load, play
from tests.support.processes import alive, children
from tests.support.server import Service, completed, running

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Write version 1 of the model `hand` to a directory of its own."""
    write_model(tmp_path / "models", "hand", 1)
    return tmp_path / "models"


@WORKERS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_any_number_of_signals_end_it_with_status_0(own: Path, workers: str, number: signal.Signals) -> None:
    with running(own, workers=workers) as service:
        team = children(service.process.pid)
        while service.process.poll() is None:
            service.process.send_signal(number)
        assert service.end() == 0
    assert not any(map(alive, team))


@WORKERS
def test_a_signal_while_it_loads_ends_it_with_status_0(own: Path, tmp_path: Path, workers: str) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    service = Service(own, {"workers": workers, "run_dir": str(run_dir)})
    while not any(run_dir.iterdir()):
        assert service.process.poll() is None
    assert service.end() == 0
    assert not any("Traceback" in line for line in service.lines)
    assert list(run_dir.iterdir()) == []


@WORKERS
def test_under_load_no_request_fails(own: Path, workers: str) -> None:
    with running(own, workers=workers, drain_delay_s="0.5") as service:

        async def scenario() -> tuple[Load, int]:
            async with Load(service.url, predictions("hand", {1: make_weights()}), connections=16) as load:
                await load.answers(500)
                service.process.send_signal(signal.SIGTERM)
                before = load.answered
                while service.process.poll() is None:
                    await asyncio.sleep(0)
            return load, before

        load, before = play(scenario())
        assert set(load.statuses) == {200}
        assert (load.broken, load.wrong) == (0, [])
        assert load.answered > before, "it has served on, not ready, for a while"
        assert service.end() == 0


@WORKERS
def test_a_client_that_never_ends_its_request_does_not_keep_it(own: Path, workers: str) -> None:
    with running(own, workers=workers, drain_timeout_s="1") as service:
        with contextlib.ExitStack() as stack:
            clients = []
            for path in (b"/v1/predict", b"/v1/gates", b"/v2/models/hand/infer"):
                clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=30)))
                clients[-1].sendall(b"POST " + path + b" HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
                assert httpx.get(f"{service.url}/health/ready").status_code == 200
            assert service.end() == 0
            for client in clients:
                answer = b"".join(iter(functools.partial(client.recv, 4096), b""))
                assert answer.startswith(b"HTTP/1.1 503")
                assert b"the service has ended before the body had come" in answer
        assert not any("Traceback" in line for line in service.lines)


@WORKERS
def test_ctrl_c_does_not_wait_for_balancers(own: Path, workers: str) -> None:
    with running(own, workers=workers, drain_delay_s="3600") as service:
        assert service.end(signal.SIGINT) == 0


def test_a_manager_that_signals_launcher_and_workers_alike_cuts_no_request(own: Path) -> None:
    with running(own, workers="2", drain_delay_s="0.2") as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 19\r\n\r\n")
            assert httpx.get(f"{service.url}/health/ready").status_code == 200
            for pid in (*children(service.process.pid), service.process.pid):
                os.kill(pid, signal.SIGTERM)
            service.wait_for("Draining")
            service.wait_for("Draining")
            connection.sendall(b'{"instances": [{}]}')
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert service.end() == 0


@WORKERS
def test_sighup_rescans_models_and_keys(own: Path, tmp_path: Path, workers: str) -> None:
    file, first, second = tmp_path / "keys", new_key(), new_key()
    file.write_text(line_of("predict", "first", first))
    with running(own, workers=workers, keys_file=str(file)) as service:

        def ask(key: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return httpx.post(f"{service.url}/v1/predict", json={"instances": [{}]}, headers=headers)

        assert (ask(first).status_code, ask(second).status_code) == (200, 401)
        write_model(own, "hand", 2)
        file.write_text(line_of("predict", "second", second))
        service.process.send_signal(signal.SIGHUP)
        while ask(second).status_code != 200 or ask(first).status_code != 401 or ask(second).json()["version"] != 2:
            assert service.process.poll() is None
        assert service.end() == 0
        assert not any(key in line for line in service.lines for key in (first, second))


def test_a_wrong_file_of_keys_ends_the_start(own: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("predict me mmoe_secret")
    for workers in ("1", "2"):
        run = completed(models=str(own), keys_file=str(tmp_path / "keys"), workers=workers)
        assert run.returncode == 2
        assert "line 1 ends with no hash" in run.stderr
        assert "mmoe_secret" not in run.stderr
        assert "Traceback" not in run.stderr


@WORKERS
def test_where_keys_are_required_no_service_starts_without_them_and_nothing_else_is_logged(
    own: Path, workers: str
) -> None:
    (own / "require-keys").touch()
    run = completed(models=str(own), workers=workers, stranger="1")
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert json.loads(line)["event"] == "not_started"
    assert "MMOE_KEYS_FILE is 'unset'" in json.loads(line)["message"]


def test_settings_can_be_checked_without_serving(own: Path, tmp_path: Path) -> None:
    assert completed("--check-settings", models=str(own)).returncode == 0
    wrong = completed("--check-settings", models=str(own), keys_file=str(tmp_path / "none"))
    assert wrong.returncode == 2
    assert "No such file" in wrong.stderr
    assert completed("--check-settings", "more", models=str(own)).returncode == 2


@WORKERS
def test_with_a_second_port_metrics_and_admin_calls_are_answered_there_alone(own: Path, workers: str) -> None:
    with running(own, workers=workers, operation_port="0", local_admin="true", drain_delay_s="10") as service:
        found = [re.search(r"Probes, metrics and admin calls are on (http://[^\s\"]+)", line) for line in service.lines]
        (second,) = [match[1] for match in found if match]

        def status(url: str, method: str, path: str) -> int:
            return httpx.request(method, url + path).status_code  # a connection, and perhaps a worker, of its own

        for _ in range(4):
            for probe in ("/health/live", "/health/ready", "/v2/health/ready"):
                assert status(service.url, "GET", probe) == status(second, "GET", probe) == 200
            for method, path in (
                ("GET", "/metrics"),
                ("POST", "/v2/repository/index"),
                ("POST", "/v2/repository/models/hand/load"),
                ("GET", "/v1/models/hand/shadow"),
            ):
                assert (status(service.url, method, path), status(second, method, path)) == (404, 200)
            for method, path in (("GET", "/"), ("GET", "/docs"), ("GET", "/v1/models"), ("GET", "/openapi.json")):
                assert (status(service.url, method, path), status(second, method, path)) == (200, 404)
            assert status(second, "POST", "/v1/predict") == status(second, "POST", "/v2/models/hand/infer") == 404
        metrics = httpx.get(f"{second}/metrics").text
        assert f"mmoe_workers {workers}.0" in metrics
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("Draining")
        if workers == "2":
            service.wait_for("Draining")
        assert status(second, "GET", "/health/ready") == 503
        assert status(second, "GET", "/health/live") == 200
        assert service.end() == 0


def test_a_second_port_in_use_ends_the_start(own: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for workers in ("1", "2"):
            run = completed(models=str(own), port="0", operation_port=port, workers=workers)
            assert run.returncode == 2
            assert f"MMOE_OPERATION_PORT is '{port}'; expected a free port" in run.stderr
