"""Copies of rows are equal to the rows, and hold no text of others."""

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl

from tables.held_rows import copied
from tests.support.text_blocks import LINUX, held_mb


@LINUX
def test_rows_that_are_copied_hold_no_text_of_others() -> None:
    """Rows that are only taken hold all of it: 145 MB."""
    assert held_mb("kept = [block.copy(block.frame['row'].to_numpy() == 0) for block in blocks()]") < 30


def test_a_copy_is_equal_whatever_the_types() -> None:
    columns = {
        "text": ["a text that is longer than twelve bytes", None],
        "lists": [["a", "another text of some bytes"], None],
        "enum": pl.Series(["a", None], dtype=pl.Enum(["b", "a"])),
        "moment": [datetime(2026, 1, 1, tzinfo=UTC), None],
        "day": [date(2026, 1, 1), None],
        "decimal": [Decimal("1.20"), None],
        "bytes": [b"x", None],
        "small": pl.Series([1, None], dtype=pl.Int8),
        "vector": pl.Series([[1.0, 2.0], None], dtype=pl.Array(pl.Float32, 2)),
        "nothing": [None, None],
    }
    for frame in (pl.DataFrame(columns), pl.DataFrame(columns).clear(), pl.DataFrame()):
        copy = copied(frame)
        assert copy.schema == frame.schema
        assert copy.equals(frame)
