"""Cleaning of a frame: text trimmed and in Unicode's form NFC, what means missing null."""

import polars as pl

from tables.config import TableData
from tables.distinct import few_values
from tables.missing import Markers

TEXTS = (pl.String, pl.Categorical, pl.Enum)


def clean(frame: pl.DataFrame, data: TableData, markers: Markers) -> tuple[pl.DataFrame, dict[str, tuple[int, int]]]:
    """Clean all columns; categories become text.

    Args:
        frame: of a file, as it stands there.
        data: says whether text is trimmed, and whether "NA" means missing by default.
        markers: what means missing.

    Returns:
        The frame, and how many cells of a column hold "NA" where that means missing by default,
        with the row of the first, from 1.
    """
    frame = frame.with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String), pl.col(pl.Float32, pl.Float64).fill_nan(None)
    )
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    as_they_are = _clean_as_they_are(frame, texts, data.strip, markers)
    texts = [name for name in texts if name not in as_they_are]
    frame = _trimmed(frame, texts, data.strip)
    by_default = data.missing_only is None and "NA" not in data.missing
    not_available = _not_available(frame, texts) if by_default else {}
    able = {name: markers.marked(pl.col(name), frame.schema[name]) for name in frame.columns if name not in as_they_are}
    marked = {name: mark for name, mark in able.items() if mark is not None}
    held = _where_any(frame, marked)
    return frame.with_columns(pl.when(~marked[name]).then(pl.col(name)).alias(name) for name in held), not_available


def _clean_as_they_are(frame: pl.DataFrame, texts: list[str], strip: bool, markers: Markers) -> frozenset[str]:
    """Find columns of text whose distinct values are few, and none of which cleaning changes."""
    few = {name: values for name in texts if (values := few_values(frame[name])) is not None}
    if not few or not _changed(pl.concat([values.alias("") for values in few.values()]), strip, markers):
        return frozenset(few)
    return frozenset(name for name, values in few.items() if not _changed(values.alias(""), strip, markers))


def _changed(values: pl.Series, strip: bool, markers: Markers) -> bool:
    """Check whether cleaning changes any of some values."""
    given = values.to_frame()
    cleaned = _trimmed(given, [values.name], strip)
    return bool(markers.mask(cleaned.to_series()).any()) or not cleaned.equals(given)


def _trimmed(frame: pl.DataFrame, texts: list[str], strip: bool) -> pl.DataFrame:
    """Compose and trim columns of text; what is ASCII is in NFC as it is."""
    other = {name: pl.col(name).str.len_bytes() != pl.col(name).str.len_chars() for name in texts}
    frame = frame.with_columns(pl.col(name).str.normalize("NFC") for name in _where_any(frame, other))
    return frame.with_columns(pl.col(name).str.strip_chars() for name in texts) if strip else frame


def _not_available(frame: pl.DataFrame, texts: list[str]) -> dict[str, tuple[int, int]]:
    """Find the columns of text with "NA": how many cells, and the first row, from 1."""
    held = {name: frame[name] == "NA" for name in _where_any(frame, {name: pl.col(name) == "NA" for name in texts})}
    return {name: (int(cells.sum()), int(cells.arg_max() or 0) + 1) for name, cells in held.items()}


def _where_any(frame: pl.DataFrame, conditions: dict[str, pl.Expr]) -> list[str]:
    """List the columns in which a condition holds for any value."""
    if not conditions:
        return []
    held = frame.select(condition.any().alias(name) for name, condition in conditions.items()).row(0, named=True)
    return [name for name, any_held in held.items() if any_held]
