import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.servers import Launch, ServerFailed, alive, running

CORE = frozenset({min(os.sched_getaffinity(0))})


def _serve(*lines: str) -> tuple[str, ...]:
    return (sys.executable, "-c", "\n".join(lines))


HTTP = _serve(
    "import http.server",
    "http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()",
)


def test_a_server_is_started_pinned_watched_and_ended(tmp_path: Path) -> None:
    with running(Launch(HTTP, "/"), CORE, tmp_path / "log") as server:
        pid = server.process.pid
        assert os.sched_getaffinity(pid) == CORE
        assert server.start_cpu_s > 0
        assert server.start_s > 0
        assert server.memory_mb()[0] > 1
        assert server.processes() == [pid]
    assert server.process.returncode is not None
    assert not alive(pid)


def test_children_are_watched_and_ended_too(tmp_path: Path) -> None:
    command = _serve(
        "import subprocess, sys",
        "subprocess.run([sys.executable, '-m', 'http.server', '--bind', '127.0.0.1', '{port}'])",
    )
    with running(Launch(command, "/"), CORE, tmp_path / "log") as server:
        family = server.processes()
        assert len(family) == 2
        assert len(server.memory_mb()) == 2
    assert not any(alive(pid) for pid in family)


def test_other_processes_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        with running(Launch(HTTP, "/"), CORE, tmp_path / "log"):
            pass
        assert bystander.poll() is None
        bystander.communicate(b"\n")


def test_a_server_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    command = _serve("raise SystemExit('no model here')")
    with (
        pytest.raises(ServerFailed, match="no model here"),
        running(Launch(command, "/"), CORE, tmp_path / "log"),
    ):
        pass


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    command = _serve("import time", "time.sleep(60)")
    with (
        pytest.raises(ServerFailed, match=r"did not answer on / in 0\.2 s"),
        running(Launch(command, "/", timeout_s=0.2), CORE, tmp_path / "log"),
    ):
        pass
