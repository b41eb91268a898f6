"""Pieces of Parquet, and what its footer says of row groups."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tables.files import table_probe
from tables.files.table_probe import group_rows, pieces, scan

FRAME = pl.DataFrame({"n": range(3_000), "t": [[str(n)] * (n % 3) for n in range(3_000)]})


@pytest.mark.parametrize(("group", "found"), [(1, 1), (97, 97), (2_999, 2_999), (5_000, 3_000)])
def test_the_first_row_group_is_measured(tmp_path: Path, group: int, found: int) -> None:
    FRAME.write_parquet(tmp_path / "t.parquet", row_group_size=group)
    assert group_rows(tmp_path / "t.parquet", "parquet") == found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_footer_that_is_not_understood_does_no_harm(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "t.parquet"
    FRAME.head(5).write_parquet(path)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(1, len(content)), max_size=6)):
        content[-place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=4)))
    assert group_rows(path, "parquet") >= 0


@pytest.mark.parametrize("start", [0, 700])
@pytest.mark.parametrize(("group", "heights"), [(300, 900), (1_000, 1_000), (1_024, 1_024), (0, 1_024)])
def test_pieces_are_the_rows_and_end_as_row_groups_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, group: int, heights: int
) -> None:
    monkeypatch.setattr(table_probe, "PIECE_ROWS", 1_024)
    FRAME.write_parquet(tmp_path / "t.parquet", row_group_size=group or None)
    found = list(pieces(scan(tmp_path / "t.parquet", "parquet"), "parquet", start, 3_000, group=group))
    assert_frame_equal(pl.concat(found), FRAME.slice(start))
    assert [frame.height for frame in found[1:-1]] == [heights] * (len(found) - 2)
    assert (start + found[0].height) % heights == 0
