"""The command as two ranks: one version, one sentence where a rank dies, a resumed run."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "scripts" / "configs" / "synthetic.toml")
SMALL = ["data.dims=4", "model.experts=2", "train.device=cpu", "train.batch_size=64", "train.patience=0"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def command(models: Path, *settings: str) -> list[str]:
    return [*TORCHRUN, "-m", "scripts.train", DEMO, "--models", str(models), "--set", *SMALL, *settings]


def said(text: str, pattern: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(pattern, line)]


def children(pid: int) -> Iterator[tuple[int, str]]:
    """List the ranks of a torchrun: process and rank."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        environment = dict(
            pair.split("=", 1) for pair in Path(f"/proc/{child}/environ").read_text().split("\0") if pair
        )
        yield int(child), environment["RANK"]


def test_ranks_publish_one_version(tmp_path: Path) -> None:
    run = subprocess.run(
        command(tmp_path / "models", "data.rows=300", "train.epochs=2"),
        cwd=ROOT,
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert len(said(run.stderr, "epoch ")) == 2
    assert len(said(run.stdout, "Published ")) == 1
    assert [path.name for path in (tmp_path / "models" / "synthetic").iterdir()] == ["1"]
    assert not (tmp_path / "models" / ".training").exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="ranks are found in /proc")
def test_a_killed_rank_ends_all_with_a_sentence_and_the_run_is_resumed(tmp_path: Path) -> None:
    settings = ("data.rows=2000", "train.epochs=60", "train.checkpoint_every_s=0")
    full = command(tmp_path / "models", *settings)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(full, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        before = []
        for line in process.stderr:
            before.append(line)
            if line.startswith("epoch  2/60"):
                break
        (victim,) = [pid for pid, rank in children(process.pid) if rank == "1"]
        os.kill(victim, signal.SIGKILL)
        _, after = process.communicate(timeout=120)
    assert process.returncode == 1
    (sentence,) = said(after, "error: |Interrupted; ")
    assert "goes on from the last checkpoint" in sentence
    run = subprocess.run(full, cwd=ROOT, timeout=240, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(said(run.stderr, "Going on from ")) == 1
    assert 0 < len(said(run.stderr, "epoch ")) < 60
    assert (tmp_path / "models" / "synthetic" / "1" / "model.onnx").exists()


def test_an_error_of_the_user_is_said_once(tmp_path: Path) -> None:
    run = subprocess.run(
        command(tmp_path / "models", "data.rows=300", "train.monitor=task_1.auc"),
        cwd=ROOT,
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    (sentence,) = said(run.stderr, "error: ")
    assert "train.monitor" in sentence
    assert "exitcode  : 2" in run.stderr
