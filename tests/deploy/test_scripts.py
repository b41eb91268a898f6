"""The scripts of deploy/ without an engine.

What they write, and that they do not stop at the first error.
"""

import os
import socket
import subprocess
import tarfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from service.http.hosts import Hosts
from service.settings import read_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


NOTHING = Path(os.devnull)


def sh(
    script: Path, *arguments: str, stdin: Path = NOTHING, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    with stdin.open("rb") as given:
        return subprocess.run(
            ["sh", str(script), *arguments], stdin=given, env=os.environ | (env or {}), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def stub(tmp_path: Path) -> Callable[..., str]:
    """Give a function that puts a program of one line first on the PATH, and returns that PATH."""

    def make(name: str, line: str) -> str:
        directory = tmp_path / "bin"
        directory.mkdir(exist_ok=True)
        (directory / name).write_text(f"#!/bin/sh\n{line}\n")
        (directory / name).chmod(0o755)
        return f"{directory}:{os.environ['PATH']}"

    return make


class _Replica(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(f"asked for {self.path}".encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_each_replica_is_asked_though_some_fail() -> None:
    servers = []
    for status in (500, 200):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Replica)
        server.status = status  # type: ignore[attr-defined]
        Thread(target=server.serve_forever).start()
        servers.append(server)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        ports = [nobody.getsockname()[1], *(server.server_port for server in servers)]
        replicas = " ".join(f"127.0.0.1:{port}" for port in ports)
        try:
            some = sh(DEPLOY / "nginx/each-replica.sh", "POST", "/v1/models/m:rollback", env={"REPLICAS": replicas})
            last = sh(DEPLOY / "nginx/each-replica.sh", "POST", "/x", env={"REPLICAS": replicas.split()[-1]})
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()
    assert some.returncode == 1
    assert some.stdout.count("asked for /v1/models/m:rollback") == 2
    assert "a replica has not done it" in some.stderr
    assert (last.returncode, last.stderr) == (0, "")


def archive(path: Path, versions: dict[str, str]) -> Path:
    for place, content in versions.items():
        (path / "from" / place).mkdir(parents=True)
        (path / "from" / place / "model.onnx").write_text(content)
        (path / "from" / place / "report.md").write_text("report")
    with tarfile.open(path / "models.tgz", "w:gz") as made:
        made.add(path / "from", ".")
    return path / "models.tgz"


def test_versions_are_unpacked_aside_and_one_that_is_there_stays(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "old" / "1").mkdir(parents=True)
    (models / "old" / "1" / "model.onnx").write_text("as it was")
    (models / "same" / "1").mkdir(parents=True)
    (models / "same" / "1" / "model.onnx").write_text("same")
    given = archive(tmp_path, {"new/7": "seven", "old/1": "another", "old/2": "two", "same/1": "same"})
    run = sh(DEPLOY / "unpack.sh", str(models), stdin=given)
    assert run.returncode == 1
    assert "old 1 is there already and is another" in run.stderr
    assert run.stdout.splitlines() == ["new 7 is published", "old 2 is published", "same 1 is there already"]
    found = {str(path.parent.relative_to(models)): path.read_text() for path in models.glob("*/*/model.onnx")}
    assert found == {"new/7": "seven", "old/1": "as it was", "old/2": "two", "same/1": "same"}
    assert (models / "new" / "7" / "report.md").exists()
    assert not list(models.glob(".*"))


def test_an_archive_that_breaks_off_publishes_nothing(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    given = archive(tmp_path, {"a/1": "x" * 100_000, "b/1": os.urandom(100_000).hex()})
    given.write_bytes(given.read_bytes()[:-20_000])
    assert sh(DEPLOY / "unpack.sh", str(models), stdin=given).returncode != 0
    assert list(models.iterdir()) == []


def test_digests_are_written_and_taken_out_again(tmp_path: Path, stub: Callable[..., str]) -> None:
    written = tmp_path / "env"
    before = (ROOT / ".env").read_text()
    written.write_text(before)
    line = '[ "$4" != grafana/grafana:12.1.0 ] && echo "sha256:$(echo "$4" | sha256sum | cut -c -64)"'
    path = stub("docker", line)
    run = sh(DEPLOY / "pin-images.sh", env={"ENV_FILE": str(written), "PATH": path})
    assert run.returncode == 1
    assert "grafana/grafana:12.1.0 cannot be looked up: GRAFANA_DIGEST stays as it is" in run.stderr
    images = [line.partition(" is sha256:")[0] for line in run.stdout.splitlines()]
    dockerfile = (ROOT / "Dockerfile").read_text().partition("ARG PYTHON=")[2].split()[0]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    tags = {service["image"].partition("$")[0] for service in services if "image" in service}
    assert set(images) == tags - {"grafana/grafana:12.1.0"} | {dockerfile}
    assert written.read_text().count("_DIGEST=sha256:") == len(images)
    assert sh(DEPLOY / "pin-images.sh", "--unpin", env={"ENV_FILE": str(written), "PATH": path}).returncode == 0
    assert written.read_text() == before


def test_prometheus_is_started_with_as_many_replicas_as_there_are_meant_to_be(
    tmp_path: Path, stub: Callable[..., str]
) -> None:
    path = stub("prometheus", 'echo "$@"')
    run = sh(DEPLOY / "prometheus/start.sh", "--more", env={"REPLICAS": "5", "TMPDIR": str(tmp_path), "PATH": path})
    assert run.stdout.split() == [f"--config.file={tmp_path}/prometheus/prometheus.yml", "--more"]
    (group,) = yaml.safe_load((tmp_path / "prometheus/replicas.yml").read_text())["groups"]
    assert group["rules"] == [{"record": "mmoe:replicas:expected", "expr": "vector(5)"}]


def test_alerts_are_sent_where_a_file_says_and_its_absence_is_told(
    tmp_path: Path, stub: Callable[..., str], program: Callable[[str, str], str]
) -> None:
    path = stub("alertmanager", 'echo "$@"')
    given = {"TMPDIR": str(tmp_path), "PATH": path, "WEBHOOK_FILE": str(tmp_path / "webhook")}
    nobody = sh(DEPLOY / "alertmanager/start.sh", env=given)
    assert "sent to nobody" in nobody.stderr
    (tmp_path / "webhook").write_text("http://127.0.0.1:9/hook?token=a&b=c\n")
    somebody = sh(DEPLOY / "alertmanager/start.sh", env=given)
    assert somebody.stderr == ""
    (config,) = somebody.stdout.split()
    (receiver,) = yaml.safe_load(Path(config.partition("=")[2]).read_text())["receivers"]
    assert receiver["webhook_configs"] == [{"url": "http://127.0.0.1:9/hook?token=a&b=c"}]
    amtool = program("amtool", "prometheus-alertmanager")
    subprocess.run([amtool, "check-config", config.partition("=")[2]], check=True, capture_output=True, timeout=60)


def test_pages_under_a_name_of_their_own_get_nothing_from_replicas_as_deployed() -> None:
    lines = (DEPLOY / "service.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    hosts = Hosts.of(read_settings({"MMOE_HOST": "0.0.0.0", **given}))
    callers = (b"127.0.0.1:8000", b"localhost:9000", b"[::1]", b"balancer:8080", b"service:8000", b"172.18.0.4:8000")
    assert [host for host in callers if not hosts.allows(host)] == []
    assert not hosts.allows(b"rebound.example:8000")
