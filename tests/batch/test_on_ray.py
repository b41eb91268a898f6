"""Scoring by Ray on this machine: the parts of one machine, also where a worker is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")
pytest.importorskip("ray", reason="needs the extra ray (make ray)")

from scripts.score import main
from tests.support.made_models import make

ROWS, PART_ROWS = 3000, 50


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a model and a table of text in two files, some rows of which are bad."""
    folder = tmp_path_factory.mktemp("ray")
    frame = pl.DataFrame({"x": [row % 13 - 3.5 for row in range(60)], "y": [row % 5 for row in range(60)]})
    make(folder, frame, features={"numeric": ["x"]}, model={"experts": 2})
    cells = ["what" if row % 97 == 0 else str(row % 101 - 50) for row in range(ROWS)]
    (folder / "rows").mkdir()
    table = pl.DataFrame({"x": cells, "id": np.arange(ROWS)})
    table[:1730].write_csv(folder / "rows" / "a.csv")
    table[1730:].write_csv(folder / "rows" / "b.csv")
    return folder


def command(home: Path, rows: str, output: str, *options: str) -> list[str]:
    place = [str(home / name) for name in ("model.onnx", rows, output)]
    return [*place, "--part-rows", str(PART_ROWS), "--keep", "id", "--gates", "--processes", "2", *options]


def check_same(home: Path, output: str, expected: str) -> None:
    names = [path.name for path in sorted((home / expected).glob("part-*"))]
    assert [path.name for path in sorted((home / output).glob("part-*"))] == names
    for name in names:
        assert (home / output / name).read_bytes() == (home / expected / name).read_bytes()


def workers(session: int, title: str) -> list[int]:
    """Find Ray's workers of a session of processes that do something."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            words = (folder / "cmdline").read_bytes().decode()
            if words.startswith("ray::") and title in words and os.getsid(int(folder.name)) == session:
                found.append(int(folder.name))
    return found


def test_a_killed_worker_loses_nothing(home: Path) -> None:
    assert main(command(home, "rows", "here", "--errors", str(home / "here.csv"))) == 0
    ray_command = command(home, "rows", "ray", "--errors", str(home / "ray.csv"), "--ray")
    run = subprocess.Popen([sys.executable, "-m", "scripts.score", *ray_command], start_new_session=True)
    killed: list[int] = []
    while run.poll() is None and not killed:
        if (home / "ray").exists() and list((home / "ray").glob("part-*")):
            killed = workers(run.pid, "_Actor")[:1]
            for process in killed:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.005)
    assert run.wait() == 0
    assert killed
    check_same(home, "ray", "here")
    assert (home / "ray.csv").read_text() == (home / "here.csv").read_text()
