"""Types of a column that several files hold: whether they agree, and in which type."""

import polars as pl

INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
TEXTS = (pl.String, pl.Categorical, pl.Enum)
UNITS = ("ms", "us", "ns")


def joined(first: pl.DataType, second: pl.DataType, loosely: bool = False) -> pl.DataType | None:
    """Find the type that holds the values of both; None where they do not agree.

    Integers and floats join to float64, a column of nulls alone joins with any. Loosely, as in
    JSON lines, text joins with all that is not a list.
    """
    if first == second:
        return first
    if pl.Null in (first, second):
        return second if first == pl.Null else first
    texts = [isinstance(dtype, TEXTS) for dtype in (first, second)]
    if all(texts) or (loosely and any(texts) and not (first.is_nested() or second.is_nested())):
        return pl.String()
    if first.is_integer() and second.is_integer():
        return _integer(first, second)
    if first.is_numeric() and second.is_numeric() and pl.Decimal not in (first.base_type(), second.base_type()):
        return pl.Float32() if first == second == pl.Float32 else pl.Float64()
    if isinstance(first, pl.Datetime) and isinstance(second, pl.Datetime) and first.time_zone == second.time_zone:
        return pl.Datetime(max(first.time_unit, second.time_unit, key=UNITS.index), first.time_zone)
    lists = (pl.List, pl.Array)
    if isinstance(first, lists) and isinstance(second, lists):
        inner = joined(_inner(first), _inner(second), loosely)
        return None if inner is None else pl.List(inner)
    return None


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    inner = dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()


def _integer(first: pl.DataType, second: pl.DataType) -> pl.DataType:
    for kinds in (INTEGERS, UNSIGNED):
        if isinstance(first, kinds) and isinstance(second, kinds):
            return max(first, second, key=lambda dtype: kinds.index(type(dtype)))
    return pl.Float64() if pl.UInt64 in (first, second) else pl.Int64()
