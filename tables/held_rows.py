"""Rows that are held when the table they were taken from has gone."""

import io

import polars as pl


def copied(frame: pl.DataFrame) -> pl.DataFrame:
    """Copy rows that were filtered, gathered or grouped from a frame, to keep them when it goes.

    Polars shares the text of a String column: one row that was taken keeps all of the column's
    text in memory, which `rechunk` and `shrink_to_fit` leave as it is (polars 2.1, measured).
    Written out, a row has its own text alone.
    """
    content = io.BytesIO()
    frame.write_ipc(content, compat_level=pl.CompatLevel.oldest())
    content.seek(0)
    return pl.read_ipc(content)
