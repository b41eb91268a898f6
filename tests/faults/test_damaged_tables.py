"""Damaged tables: the trainer reads them, or ends with one sentence.

It never breaks down, nor takes all memory.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.damage import write_damaged
from tests.support.effort import Effort

ROOT = Path(__file__).parents[2]
LARGEST_KILOBYTES = 1_000_000

CONFIG = """
name = "damaged"
[data]
kind = "table"
path = "given by the command"
[[tasks]]
name = "y"
column = "y"
kind = "regression"
"""


def test_a_damaged_table_is_read_or_refused_in_one_sentence(
    tmp_path: Path, effort: Effort, measured: Callable[[str], None]
) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "tables").mkdir()
    paths = write_damaged(tmp_path / "tables", effort.tables, seed=effort.tables)
    command = [
        sys.executable,
        "-m",
        "tests.support.forked_train",
        str(tmp_path / "config.toml"),
        str(tmp_path / "tables"),
    ]
    told = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    )
    assert told.returncode == 0, told.stderr
    runs = [json.loads(line) for line in told.stdout.splitlines()]
    assert [run["file"] for run in runs] == [path.name for path in paths]
    for run in runs:
        assert run["status"] in (0, 2), run
        assert "Traceback" not in run["output"], run
        assert "panicked" not in run["output"], run
        assert run["kilobytes"] < LARGEST_KILOBYTES, run
        if run["status"] == 2:
            assert run["output"].startswith("error: "), run
            assert run["output"].count("\n") == 1, run
            assert len(run["output"]) < 1500, run
    counts = Counter(run["status"] for run in runs)
    assert counts[0] > 0
    assert counts[2] > 0
    measured(f"{counts[0]} read, {counts[2]} refused, at most {max(r['kilobytes'] for r in runs) // 1000} MB")
