"""Parts of the benchmark of large tables that need none; tests/scripts/ tells its story."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scale import record
from benchmarks.scale.limit import limited
from benchmarks.scale.setting import Setting, at_least, at_most
from benchmarks.scale.story import farthest
from benchmarks.scale.trainers import ratio

TAKE = "import sys; sys.stdin.readline(); held = bytearray(int(sys.argv[1]) << 20)"


@pytest.mark.parametrize(("mb", "fits"), [(1, True), (400, False)])
def test_a_command_may_not_take_more_than_its_limit(mb: int, fits: bool) -> None:
    with limited(200 << 20) as limit:
        process = subprocess.Popen([sys.executable, "-c", TAKE, str(mb)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        limit.put(process.pid)
        process.communicate(b"now\n")
    assert (process.returncode == 0) == fits
    assert "0.195312 GiB" in limit.said


def test_the_latest_verdict_of_a_bar_is_told(tmp_path: Path) -> None:
    for figure in (5.0, 3.0):
        record.append(tmp_path / "results.jsonl", "reading", at_most("seconds", 4.0, figure, "of ten"))
    record.append(tmp_path / "results.jsonl", "ids", at_least("ratio", 0.8, 0.5))
    rows = record.table(tmp_path / "results.jsonl").splitlines()[2:]
    assert rows == ["| seconds | at most 4 | 3 (of ten) | yes |", "| ratio | at least 0.8 | 0.5 | **no** |"]


def test_the_better_of_the_others_counts() -> None:
    found = {"ours": [[60.0, 6.0], [62.0, 1.0], [61.0, 9.0]], "slow": [[1.0, 1.0]], "fast": [[10.0, 3.0]]}
    assert [ratio(found, kind)[0] for kind in (0, 1)] == [6.1, 2.0]
    assert ratio(found, 0)[1] == "ours 61; slow 1; fast 10"


def test_the_farthest_answer_counts() -> None:
    expected = {"tasks": {"click": [0.5, 100.0]}, "gate_weights": {"click": [[0.5, 0.5], [1.0, 0.0]]}}
    got = [{"tasks": {"click": 0.5}, "gate_weights": {"click": [0.5, 0.5]}}]
    got.append({"tasks": {"click": 102.0}, "gate_weights": {"click": [0.99, 0.01]}})
    assert farthest(expected, got) == pytest.approx(0.02)


def test_a_log_is_made_once(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    config = setting.log(1000)
    written = (tmp_path / "clicks-1000" / "part-00000.parquet").stat()
    assert setting.log(1000) == config
    assert (tmp_path / "clicks-1000" / "part-00000.parquet").stat().st_mtime_ns == written.st_mtime_ns
