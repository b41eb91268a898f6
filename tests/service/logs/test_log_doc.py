"""Examples of docs/logs.md: its query reads its records, and experts are numbered as everywhere.

Its query reads the records that it shows, and numbers experts as everything else does.
"""

import json
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs/logs.md").read_text()


def test_the_query_shown_finds_the_gate_weights_of_the_record_shown_by_expert_from_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip("duckdb")
    (record,) = [line for line in PAGE.splitlines() if line.startswith('{"time_utc"')]
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "rows-a-0.jsonl").write_text(f"{record}\n" * 3)
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as database:
        found = {(task, expert): share for _, _, task, expert, share in database.sql(query).fetchall()}
    shown = {
        (task["task"], expert): pytest.approx(weight)
        for task in json.loads(record)["tasks"]
        for expert, weight in enumerate(task["gate_weights"])
    }
    assert found == shown
