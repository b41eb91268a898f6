"""The command on a table that is not held in memory: killed, resumed, published and served."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.click_log import config_text, write
from benchmarks.scale.answers import ROWS as ROWS_ASKED
from benchmarks.scale.story import CLOSE, tell
from benchmarks.scale.streaming import Job
from scripts.train import main

ROWS = 200_000
SETTINGS = ["data.stream_above_rows=100_000", "data.buffer_rows=20_000", "features.hashed.user=20_000"]
SETTINGS += ["train.epochs=2", "train.batch_size=4096", "train.checkpoint_every_s=0", "train.device=cpu"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a click log in parts; returns its configuration."""
    folder = tmp_path_factory.mktemp("log")
    write(folder / "clicks", ROWS, files=3)
    config = folder / "clicks.toml"
    config.write_text(config_text(str(folder / "clicks")))
    return config


def kill_at(line: str, log: Path, models: Path) -> list[str]:
    """Run the command until it says something, and end it at once; returns what it said."""
    command = [sys.executable, "-m", "scripts.train", str(log), "--models", str(models), "--set", *SETTINGS]
    said = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for text in process.stderr:
            said.append(text)
            if re.match(line, text):
                break
        process.kill()
        assert re.match(line, said[-1]), said
    return said


def test_a_pass_that_was_killed_starts_clean(log: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    cache = models / ".training/clicks/cache"
    kill_at("Pass 1 of 2, counting: 200,000 rows$", log, models)
    assert not cache.exists()
    kill_at("Pass 2 of 2, writing the cache: 200,000 rows$", log, models)
    assert not (cache / "manifest.json").exists()
    said = kill_at("Pass 2 of 2, writing the cache: 200,000 rows in ", log, models)
    assert any(line.startswith("Pass 1 of 2, counting: 200,000 rows in ") for line in said)


def test_a_run_that_was_killed_is_resumed_published_served_and_answers_as_torch_does(log: Path, tmp_path: Path) -> None:
    job = Job(log, tmp_path / "models", SETTINGS)
    told = tell(job, [lambda course: (job.work / "checkpoint.pt").exists()], tmp_path)
    killed, resumed = told.courses
    assert killed.killed
    assert killed.line("Pass 2 of 2, writing the cache: 200,000 rows in ") is not None
    assert resumed.line("Pass") is None
    assert resumed.line("Going on from") is not None
    assert resumed.line("epoch 2/2 ") is not None
    assert (job.models / "clicks/1").is_dir()
    assert not (job.work / "checkpoint.pt").exists()
    assert told.rows == ROWS_ASKED
    assert told.farthest < CLOSE


def test_a_large_table_is_checked_and_its_splits_written_without_a_cache(log: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits.csv"
    arguments = [str(log), "--models", str(tmp_path / "models"), "--check", "--write-splits", str(splits)]
    assert main([*arguments, "--set", *SETTINGS]) == 0
    with splits.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(1, ROWS + 1))
    assert min(Counter(row["split"] for row in rows).values()) > 0.09 * ROWS
    assert not (tmp_path / "models").exists()


def test_a_cache_may_be_kept_for_the_next_run(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    arguments = [str(log), "--models", str(models), "--keep-cache", "--set", *SETTINGS, "train.epochs=1"]
    assert main(arguments) == 0
    manifest = json.loads((models / ".training/clicks/cache/manifest.json").read_text())
    assert sum(manifest["arrays"][f"{part}.rows"]["shape"][0] for part in ("train", "validation", "test")) == ROWS
    assert "Pass 2" in capsys.readouterr().err
    assert main([*arguments, "train.seed=1"]) == 0
    assert "Pass" not in capsys.readouterr().err
    assert (models / "clicks/2").is_dir()
