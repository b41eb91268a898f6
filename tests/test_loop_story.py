"""Two cycles of the loop over real services, by the files of docs/loop.md.

One version is promoted, one is rolled back. A run of the loop is killed, a replica is killed,
another is added, and all are restarted.
"""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("torch", reason="trains models: needs the trainer's packages")
pytest.importorskip("duckdb", reason="the extra evaluate is not installed")

from loop.journal import Journal
from scripts.loop import main as loop
from scripts.train import main as train
from tests.support.metrics import PAUSE_S, awaited, metric
from tests.support.server import END_TIMEOUT_S, ROOT, Service, end, running

PAGE = ROOT / "docs/loop.md"
FILES = ("shop.py", "shop.toml", "loop.toml")
SMALL: tuple[str, ...] = ("train.epochs=6", "train.batch_size=128", "train.learning_rate=0.01", "report.importance_s=0")
SMALL += ("model.experts=2", "train.device='cpu'", "model.numeric_encoding='standard'")
QUICK: tuple[str, ...] = (
    "interval_s=0.2",
    "labels.every_s=0.5",
    "shadow.share=0.5",
    "rules.0.at_most=1.0",
    "rules.1.min_rows=5",
)
QUICK += ("rules.2.min_rows=5", "rules.2.slack_ms=10000", "rules.4.margin=0.1")
"""A machine under load is slow, and few steps of training differ by chance."""
LONGEST_S = 900
"""Trainings and stages that have not ended by then hang."""
LEAST_ROWS = 1000
"""Rows with labels of which version 2 is trained."""


def free_ports(count: int) -> list[int]:
    """Find free ports, each another."""
    with ExitStack() as sockets:
        bound = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in bound]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the files of the page and its tables, and publish version 1, of two epochs."""
    blocks = re.findall(r"^```(?:python|toml)\n(.*?)^```$", PAGE.read_text().partition("## The story")[2], re.M | re.S)
    for name, block in zip(FILES, blocks, strict=True):
        (tmp_path / name).write_text(block)
    for arguments in (["table.csv"], ["wrong.csv", "wrong"]):
        subprocess.run([sys.executable, "shop.py", "table", *arguments], cwd=tmp_path, check=True)
    small = [*SMALL, f"data.path='{tmp_path}/table.csv'", "train.epochs=2"]
    assert train([str(tmp_path / "shop.toml"), "--models", str(tmp_path / "models"), "--set", *small]) == 0
    return tmp_path


def arguments(folder: Path, ports: list[int], table: str) -> list[str]:
    """Return the arguments of a run that trains on a table."""
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    places = [f"models='{folder}/models'", f"directory='{folder}/loops'", f"training.config='{folder}/shop.toml'"]
    places += [f"labels.predictions=['{folder}/predictions']", f"labels.labels=['{folder}/labels']"]
    training = [*SMALL, f"data.path='{folder / table}'"]
    return [str(folder / "loop.toml"), "--set", *places, *QUICK, f"services.urls={urls}", f"training.set={training}"]


def begin_loop(given: list[str]) -> "subprocess.Popen[str]":
    """Begin a run of the loop, with output that is small enough to wait in its pipe."""
    command = [sys.executable, "-m", "scripts.loop", *given]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(run: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for the end of a run; return its exit code and what it said."""
    try:
        said, _ = run.communicate(timeout=LONGEST_S)
    finally:
        run.kill()
    return run.returncode, said


@contextmanager
def customers(folder: Path, ports: list[int]) -> Iterator[list[str]]:
    """Call as the page's customers do; the list holds what they say in the end."""
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    command = [sys.executable, "shop.py", "call", *urls]
    calls = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    said: list[str] = []
    try:
        yield said
    finally:
        end(calls, signal.SIGTERM, END_TIMEOUT_S)
        assert calls.stdout
        said += calls.stdout.read().splitlines()
        calls.stdout.close()


def state(port: int) -> dict[str, Any]:
    """Ask a replica for the model's state, without that of each version."""
    found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/v1/models/shop", timeout=30, trust_env=False).json()
    return {name: found[name] for name in ("version", "pinned", "canary", "shadow")}


def share(port: int, run: "subprocess.Popen[str]", wanted: float) -> float:
    """Wait for a step of the canary while the run goes on; return the share that there is."""
    until = time.monotonic() + LONGEST_S
    while (found := (state(port)["canary"] or {}).get("share")) != wanted:
        assert run.poll() is None, ended(run)
        assert time.monotonic() < until
        time.sleep(PAUSE_S)
    return float(found)


def test_a_better_version_is_promoted_and_a_worse_one_rolled_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, three = ports = free_ports(3)
    better, worse = (arguments(folder, ports, table) for table in ("table.csv", "wrong.csv"))
    better += ["training.rows='logs'", f"training.least_rows={LEAST_ROWS}"]
    settings = {"prediction_log": f"{folder}/predictions", "label_log": f"{folder}/labels", "local_admin": "true"}
    settings |= {"poll_interval_s": "0.2", "prediction_log_features": "true"}
    with ExitStack() as replicas:

        def replica(port: int) -> Service:
            return replicas.enter_context(running(folder / "models", port=str(port), **settings))

        first, second = replica(one), replica(two)
        with customers(folder, ports) as said:
            awaited(lambda: metric(second.url, "mmoe_label_log_written_rows_total") >= LEAST_ROWS, True)
            run = begin_loop(better)
            for port in (one, two):
                share(port, run, 0.05)
            run.kill()
            assert ended(run)[0] == -signal.SIGKILL
            canary = {"version": 1, "pinned": 1, "canary": {"version": 2, "share": 0.05}, "shadow": None}
            assert [state(port) for port in (one, two)] == [canary, canary]

            assert loop([*better, "--dry-run"]) == 0
            assert "A run would " in capsys.readouterr().out
            run = begin_loop(better)
            share(two, run, 0.25)
            first.process.kill()
            replica(three)
            assert ended(run)[0] == 0
            served = {"version": 2, "pinned": 2, "canary": None, "shadow": None}
            assert [state(port) for port in (two, three)] == [served, served]

            code, told = ended(begin_loop(worse))
            assert (code, "Version 3 is rolled back by the rule quality of spent: rmse " in told) == (0, True)
        assert said[-1].endswith("; 0 failed")
        assert all(f" by version {version}" in said[-1] for version in (1, 2, 3))

    decided = [(line["event"], line["candidate"]) for line in Journal(folder / "loops/shop").records()]
    promoted = [("shadow", 2), ("canary", 2), ("canary", 2), ("canary", 2), ("promoting", 2)]
    assert decided == [("began", None), *promoted, ("began", None), ("shadow", 3), ("canary", 3), ("rolling_back", 3)]
    assert loop([*worse, "--journal"]) == 0
    broken = [line.strip() for line in capsys.readouterr().out.splitlines() if "BROKEN" in line]
    assert [line.partition(": rmse")[0] for line in broken] == ["BROKEN: quality of spent"]

    with running(folder / "models", **settings) as again, running(folder / "models", **settings) as beside:
        assert [state(service.port) for service in (again, beside)] == [served, served]
