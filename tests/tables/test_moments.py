"""Columns of moments."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import schema
from tables.errors import DataError
from tables.missing import collect
from tables.moments import MISSING_TIME, moments, zoneless
from tables.source import Table

NOON = int(datetime(2026, 11, 1, 12, 30, tzinfo=UTC).timestamp())


def table(values: Any, dtype: Any = None) -> Table:
    frame = pl.DataFrame({"a": pl.Series(values, dtype=dtype)})
    return Table(frame, np.arange(1, frame.height + 1), collect(["-5"]))


def read(values: Any, dtype: Any = None) -> list[int]:
    return [int(second) for second in moments(table(values, dtype), "a", "key")]


def test_the_trainer_means_the_same_by_a_missing_moment() -> None:
    assert schema.MISSING_TIME == MISSING_TIME


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-01T12:30:00Z", NOON),
        ("2026-11-01 12:30:00", NOON),
        ("2026-11-01T12:30", NOON),
        ("2026-11-01T12:30:00.999999+00:00", NOON),
        ("2026-11-01t14:30:00+02:00", NOON),
        ("2026-11-01T09:00:00-03:30", NOON),
        ("20261101T123000Z", NOON),
        ("2026-11-01T12:30:00+0000", NOON),
        ("2026-11-01", NOON - 45_000),
        (str(NOON), NOON),
        (f"{NOON}.75", NOON),
        ("-5.0", MISSING_TIME),
        ("-0.5", -1),
        ("1969-12-31T23:59:59.5Z", -1),
        ("0001-01-01", -62_135_596_800),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ],
)
def test_text_is_iso_8601_or_seconds(text: str, seconds: int) -> None:
    assert read([text, None]) == [seconds, MISSING_TIME]


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.sampled_from([None, 0, 90, -210]),
    st.sampled_from([" ", "T"]),
    st.sampled_from(["auto", "minutes", "seconds", "microseconds"]),
)
def test_any_spelling_is_the_moment_that_python_reads(
    moment: datetime, zone: int | None, between: str, spec: str
) -> None:
    minutes = timedelta(minutes=zone or 0)
    text = moment.isoformat(between, spec)
    if zone is not None:
        hours, rest = divmod(abs(zone), 60)
        text += f"{'-' if zone < 0 else '+'}{hours:02}:{rest:02}"
    since = datetime.fromisoformat(text).replace(tzinfo=None) - datetime(1970, 1, 1) - minutes
    assert read(["2000-01-01", text])[1] == since.days * 86_400 + since.seconds
    assert zoneless(table([text]), "a") == (zone is None)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_typed_moments(unit: Any) -> None:
    naive = pl.Series([datetime(2026, 11, 1, 12, 30, 0, 999_000), datetime(1969, 12, 31, 23, 59, 59, 500_000), None])
    assert read(naive, pl.Datetime(unit)) == [NOON, -1, MISSING_TIME]
    aware = pl.Series([datetime(2026, 11, 1, 12, 30)]).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    assert read(aware) == [NOON]
    assert read([date(1969, 12, 31), None]) == [-86_400, MISSING_TIME]
    assert zoneless(table(naive), "a")
    assert not zoneless(table(aware), "a")


def test_text_that_is_missing_everywhere_is_read() -> None:
    assert read([None, None], pl.String) == [MISSING_TIME] * 2
    assert read([], pl.String) == []


def test_numbers_are_seconds() -> None:
    assert read([NOON, -5, None]) == [NOON, MISSING_TIME, MISSING_TIME]
    assert read([1.75, -0.25, float("nan")]) == [1, -1, MISSING_TIME]
    assert read([None, None], pl.Null) == [MISSING_TIME, MISSING_TIME]
    assert read([1, 2], pl.UInt64) == [1, 2]
    assert read([20_261_101, 5]) == [20_261_101, 5]


@pytest.mark.parametrize(
    ("values", "dtype", "sentence"),
    [
        (["2026-11-01", "2026-02-30"], None, "holds '2026-02-30' in row 2; write an ISO 8601 date such as"),
        (["2026-11-01T25:00:00Z"], None, "holds '2026-11-01T25:00:00Z' in row 1"),
        (["2026-11-01T12:00:00+24:00"], None, "in row 1; write an ISO 8601"),
        (["2026-11-01T12:00:60Z"], None, "in row 1; write an ISO 8601"),
        (["yesterday"], None, "holds 'yesterday' in row 1"),
        ([NOON * 1000], None, r"in epoch seconds \(are these milliseconds\? divide by 1,000\)"),
        ([str(NOON * 1000)], None, "are these milliseconds"),
        ([float(NOON) * 1e6], None, "are these microseconds"),
        ([2**64 - 1], pl.UInt64, "in the years 1 to 9999"),
        ([float("inf")], None, "in the years 1 to 9999"),
        ([20261101, 20261231], None, "looks like a date without hyphens; write 2026-11-01"),
        ([[1]], None, r"holds List\(Int64\)"),
        ([True], None, "holds Boolean"),
        ([timedelta(1)], None, "holds Duration"),
    ],
)
def test_what_is_not_a_moment_is_named(values: Any, dtype: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        read(values, dtype)
    assert "\n" not in str(caught.value)
