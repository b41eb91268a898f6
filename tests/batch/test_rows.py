"""Rows by their numbers, and their texts by distinct cells."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from batch.known_texts import MOST_CELLS, KnownTexts, Texts
from batch.rows import BLOCK_ROWS, READ_ROWS, RowReader
from tables.blocks import open_table
from tables.config import TableData
from tests.support.text_blocks import LINUX, held_mb

HEIGHTS = (READ_ROWS + 700, 5, BLOCK_ROWS)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_spans_are_read_in_blocks_wherever_files_end(tmp_path: Path, kind: str) -> None:
    table = pl.DataFrame({"id": np.arange(sum(HEIGHTS)), "other": 1})
    for place, end in enumerate(np.cumsum(HEIGHTS)):
        part = table[int(end) - HEIGHTS[place] : int(end)]
        part.write_parquet(tmp_path / f"{place}.parquet") if kind == "parquet" else part.write_csv(
            tmp_path / f"{place}.csv"
        )
    files = open_table(TableData(kind="table", path=str(tmp_path))).files
    reader = RowReader(files, ["id"])
    for start, height in ((3, READ_ROWS + 800), (READ_ROWS + 803, 40), (0, 1), (0, len(table))):
        blocks = list(reader.blocks(start, height))
        assert all(block.frame.height == BLOCK_ROWS for block in blocks[:-1])
        rows = np.concatenate([block.frame["id"].cast(pl.Int64).to_numpy() for block in blocks])
        assert rows.tolist() == list(range(start, start + height))
        assert np.concatenate([block.row_numbers for block in blocks]).tolist() == (rows + 1).tolist()
    if kind == "parquet":
        assert max(frame.height for frame in files.frames(["id"], most=READ_ROWS)) == READ_ROWS


def test_each_distinct_cell_is_read_once() -> None:
    read: list[str] = []

    def upper(cells: pl.Series) -> Texts:
        read.extend(f"{cells.name} {cell}" for cell in cells)
        texts: Texts = cells.str.to_uppercase().to_numpy()
        return texts

    known = KnownTexts(["a", "b", "n"], upper)
    first = pl.DataFrame({"a": ["x", None, "x"], "b": ["x", "y", "z"], "n": [1, 2, 3]})
    found = known.texts(first)
    assert {name: texts.tolist() for name, texts in found.items()} == {"a": ["X", "", "X"], "b": ["X", "Y", "Z"]}
    assert known.texts(first[::-1])["b"].tolist() == ["Z", "Y", "X"]
    many = pl.DataFrame({"a": [f"{row}" for row in range(MOST_CELLS)], "b": "y", "n": 1})
    assert known.texts(many)["b"].tolist() == ["Y"] * MOST_CELLS
    assert "a" not in known.texts(many)
    assert known.texts(first).keys() == {"b"}
    assert sorted(read) == ["a ", "a x", "b x", "b y", "b z"]


KNOWN = """
from batch.known_texts import KnownTexts
known = KnownTexts(["text"], lambda cells: cells.to_numpy())
for block in blocks():  # one new cell in each
    known.texts(block.frame.select("text"))
"""


@LINUX
def test_known_cells_hold_no_text_of_others() -> None:
    assert held_mb(KNOWN) < 30
