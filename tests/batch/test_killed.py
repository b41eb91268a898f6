"""A run that is killed at any moment goes on to the same output."""

import os
import random
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

from tests.support.made_models import make
from tests.support.processes import children

ROWS, PART_ROWS = 4000, 40


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a model and a table, some rows of which are bad."""
    folder = tmp_path_factory.mktemp("killed")
    frame = pl.DataFrame({"x": [row % 13 - 3.5 for row in range(60)], "y": [row % 5 for row in range(60)]})
    make(folder, frame, features={"numeric": ["x"]}, model={"experts": 2})
    cells = ["what" if row % 97 == 0 else str(row % 101 - 50) for row in range(ROWS)]
    pl.DataFrame({"x": cells, "id": np.arange(ROWS)}).write_parquet(folder / "rows.parquet")
    return folder


def start(home: Path, output: str, processes: int) -> subprocess.Popen[bytes]:
    command = [home / "model.onnx", home / "rows.parquet", home / output, "--keep", "id", "--part-rows", PART_ROWS]
    command += ["--errors", home / f"{output}.csv", "--processes", processes]
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.score", *map(str, command)], stderr=subprocess.DEVNULL, start_new_session=True
    )


def check_whole(home: Path, output: str) -> None:
    """Check that parts and set-aside rows are those of a run that nobody killed."""
    bad = np.arange(0, ROWS, 97)
    whole = pl.read_parquet(home / output / "part-*.parquet")
    assert whole["id"].to_list() == np.delete(np.arange(ROWS), bad).tolist()
    assert pl.read_csv(home / f"{output}.csv")["row"].to_list() == (bad + 1).tolist()
    assert not list((home / output).rglob(".*.tmp"))


@pytest.mark.parametrize(("seed", "processes"), [(0, 1), (1, 2)])
def test_no_row_is_lost_or_doubled_however_often_a_run_is_killed(home: Path, seed: int, processes: int) -> None:
    draw, output = random.Random(seed), f"killed-{seed}"
    parts = -(-ROWS // PART_ROWS)
    for share in sorted(draw.random() for _ in range(4)):
        run = start(home, output, processes)
        while run.poll() is None and len(list((home / output).glob("part-*"))) < share * parts:
            time.sleep(0.001)
        with suppress(ProcessLookupError):  # it has ended
            os.kill(draw.choice([run.pid, *children(run.pid)]), signal.SIGKILL)  # hands out parts, or scores
        run.wait()
    assert start(home, output, processes).wait() == 0
    assert start(home, "whole", 1).wait() == 0
    check_whole(home, output)
    check_whole(home, "whole")
    names = [path.name for path in sorted((home / "whole").glob("part-*"))]
    assert [path.name for path in sorted((home / output).glob("part-*"))] == names
    for name in names:
        assert pl.read_parquet(home / output / name).equals(pl.read_parquet(home / "whole" / name))


def test_the_first_process_of_a_folder_keeps_others_out(home: Path) -> None:
    first = start(home, "twice", 1)
    while first.poll() is None and not list((home / "twice").glob("part-*")):
        time.sleep(0.001)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        command = [sys.executable, "-m", "scripts.score", str(home / "model.onnx"), str(home / "rows.parquet")]
        second = subprocess.run([*command, str(home / "twice")], capture_output=True, text=True, check=False)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2
    assert "another run is scoring into this folder" in second.stderr
    assert first.wait() == 0
