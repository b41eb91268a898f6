"""The command as two ranks: one version, one sentence where a rank dies, a resumed run."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w
import torch

from model.artifact.weights import load_model
from scripts.train import main
from tests.support.streamed_tables import config_of, made

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


def test_ranks_publish_what_one_process_does(tmp_path: Path) -> None:
    """They go on from a version, on a large table whose cache rank 0 makes for both."""
    made().write_parquet(tmp_path / "table.parquet")
    told = config_of(tmp_path / "table.parquet").model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    (tmp_path / "config.toml").write_text(tomli_w.dumps(told))
    options = [str(tmp_path / "config.toml"), "--models", str(tmp_path / "models")]
    settings = ["--set", *SMALL[2:], "data.stream_above_rows=0", "train.epochs=1", "train.embedding_updates=lazy"]
    assert main([*options, *settings]) == 0
    together = [*TORCHRUN, "-m", "scripts.train", *options, "--from", "latest", *settings]
    run = subprocess.run(together, cwd=ROOT, timeout=240, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for pattern in ("Pass 1.*rows/s", "Pass 2.*rows/s", "as published", "epoch 1/1"):
        assert len(said(run.stderr, pattern)) == 1, run.stderr
    assert len(said(run.stdout, "Published ")) == 1
    assert not (tmp_path / "models" / ".training").exists()
    assert main([*options, "--from", "1", *settings]) == 0
    versions = [tmp_path / "models" / "made" / version for version in ("2", "3")]
    ours, alone = (load_model(version / "checkpoint.pt")[0].state_dict() for version in versions)
    for name, expected in alone.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="ranks are found in /proc")
def test_a_killed_rank_ends_all_with_a_sentence_and_the_run_is_resumed(tmp_path: Path) -> None:
    settings = ("data.rows=2000", "train.epochs=30", "train.checkpoint_every_s=0")
    full = command(tmp_path / "models", *settings)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(full, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        before = []
        for line in process.stderr:
            before.append(line)
            if line.startswith("epoch  2/30"):
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
    assert 0 < len(said(run.stderr, "epoch ")) < 30
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
