"""Moments: seconds and ISO 8601 with a zone, and what is said of anything else."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.entries import FIRST_SECOND, LAST_SECOND, MISSING_TIME
from service.inference.reading.datetimes import datetime_fault, read_datetimes, seconds_of, sound_moments
from service.inference.reading.values import NOT_PLAIN

ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (1.9, 1),
        (-0.5, -1),
        (FIRST_SECOND, FIRST_SECOND),
        (LAST_SECOND + 0.5, LAST_SECOND),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.25Z", -1),
        ("2026-11-28 18:30Z", 1795890600),
        ("20261128T183000Z", 1795890600),
        ("0001-01-01T00:00:00Z", FIRST_SECOND),
        ("9999-12-31T23:59:59.999999Z", LAST_SECOND),
    ],
)
def test_seconds_of_what_is_taken(value: object, seconds: int) -> None:
    assert seconds_of(value) == seconds
    assert datetime_fault(value) is None
    assert read_datetimes([[value, None]]).tolist() == [[seconds, MISSING_TIME]]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("2026-11-28", "the string '2026-11-28' has neither a time nor a zone; send it as \"2026-11-28T00:00:00Z\" if "
         "it is UTC, or with its zone, such as +01:00"),
        ("2026-11-28T18:30:00", "the string '2026-11-28T18:30:00' has no zone; send it as \"2026-11-28T18:30:00Z\" if "
         "it is UTC, or with its zone, such as +01:00"),
        ("now", 'expected epoch seconds, text such as "2026-11-28T18:30:00Z" or null, got the string \'now\''),
        ("1795890600", 'expected epoch seconds, text such as "2026-11-28T18:30:00Z" or null, got the string '
         "'1795890600'; send it without quotes"),
        (True, 'expected epoch seconds, text such as "2026-11-28T18:30:00Z" or null, got true'),
        ([1], 'expected epoch seconds, text such as "2026-11-28T18:30:00Z" or null, got an array'),
        (1795890600000, "1795890600000 is not in the years 1 to 9999 as epoch seconds; is it milliseconds? Divide it "
         "by 1000"),
        (1795890600000000, "1795890600000000 is not in the years 1 to 9999 as epoch seconds; is it microseconds? "
         "Divide it by 1000000"),
        (1e30, "1e+30 is not in the years 1 to 9999 as epoch seconds"),
        (MISSING_TIME, "-9223372036854775808 is not a moment; send null for a missing value"),
        (float("nan"), "NaN is not a moment; send null for a missing value"),
        (float("inf"), "Infinity is not in the years 1 to 9999 as epoch seconds"),
        ("0001-01-01T00:00:00+01:00", "the string '0001-01-01T00:00:00+01:00' is not in the years 1 to 9999, in UTC"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_to_do(value: object, told: str) -> None:
    assert datetime_fault(value) == told
    for values in ([value], [value, None]):
        with pytest.raises(NOT_PLAIN):
            read_datetimes([values])


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES))
def test_text_and_number_of_one_moment_are_read_alike(moment: datetime) -> None:
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    assert seconds_of(moment.isoformat()) == seconds_of(expected) == expected


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30)))
def test_a_value_is_read_or_its_fault_is_told(value: object) -> None:
    if datetime_fault(value) is None:
        assert sound_moments(read_datetimes([[value]]))
    else:
        with pytest.raises(NOT_PLAIN):
            read_datetimes([[value]])


def test_moments_as_an_array_are_sound_within_the_years() -> None:
    assert sound_moments(np.array([[FIRST_SECOND, LAST_SECOND, MISSING_TIME]]))
    assert not sound_moments(np.array([[FIRST_SECOND - 1]]))
    assert not sound_moments(np.array([[LAST_SECOND + 1]]))
