from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from model.data.placement import SALTS, key_places
from model.data.splits import TEST, TRAIN, VALIDATION, assign
from tables.config import Split
from tables.errors import DataError
from tables.source import Table


def table(**columns: Any) -> Table:
    frame = pl.DataFrame(columns)
    return Table(frame, np.arange(1, frame.height + 1))


def numbered(rows: int) -> Table:
    return table(row=list(range(rows)))


def shuffled_days() -> tuple[list[int], Table]:
    """Return forty days in random order, each of them three times."""
    days = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 3)).tolist()
    return days, table(day=[str(day) for day in days])


@given(rows=st.integers(10, 400), seed=st.integers(0, 9))
def test_a_random_split_has_the_shares_asked_for(rows: int, seed: int) -> None:
    chosen, _ = assign(numbered(rows), Split(validation=0.2, test=0.3, seed=seed))
    counts = np.bincount(chosen, minlength=3)
    assert abs(counts[TEST] - 0.3 * rows) <= 1
    assert abs(counts[VALIDATION] - 0.2 * rows) <= 1


def test_the_seed_decides_a_random_split() -> None:
    first, same, other = (assign(numbered(100), Split(seed=seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_a_split_by_time_keeps_the_order_and_divides_no_moment() -> None:
    days, rows = shuffled_days()
    chosen, notes = assign(rows, Split(kind="time", by="day"))
    of_day = np.array(days)
    assert of_day[chosen == TRAIN].max() < of_day[chosen == VALIDATION].min()
    assert of_day[chosen == VALIDATION].max() < of_day[chosen == TEST].min()
    assert np.bincount(chosen).tolist() == [84, 12, 24]
    assert notes == ["Rows were split by time ('day'), the latest rows for test: 84 training, 12 validation, 24 test."]


@pytest.mark.parametrize(
    ("columns", "settings"),
    [
        ({"year": ["2016", "2015", "2016"], "month": ["August", "December", "april"], "day": ["1", "31", "30"]}, {}),
        ({"y": ["16", "15", "16"], "m": ["aug", "dec", "apr"]}, {}),
        ({"year": ["2016", "2015", "2016"], "month": ["August", "Dec", "April"]}, {"format": "%Y %B"}),
        ({"date": ["01/08/2016", "31/12/2015", "30/04/2016"]}, {"format": "%d/%m/%Y"}),
        ({"date": ["2016-08-01", "2015-12-31", "2016-04-30"]}, {}),
        ({"date": ["2016-08-01 10:00", "2016-08-01 09:30", "2016-08-01 09:59"]}, {}),
        ({"second": ["1e3", "9", "10.5"]}, {}),
        ({"date": pl.Series(["2016-08-01", "2015-12-31", "2016-04-30"]).str.to_date()}, {}),
        ({"second": [1000.0, 9.0, 10.5]}, {}),
    ],
)
def test_time_is_read_from_numbers_months_and_dates(columns: dict[str, Any], settings: dict[str, Any]) -> None:
    split = Split(kind="time", by=tuple(columns), validation=0.3, test=0.3, **settings)
    chosen, _ = assign(table(**columns), split)
    assert chosen.tolist() == [TEST, TRAIN, VALIDATION]


@given(st.lists(st.sampled_from("abcdefghij"), min_size=30, max_size=100), st.integers(0, 5))
def test_no_group_falls_into_two_splits(groups: list[str], seed: int) -> None:
    rows = table(group=[*groups, *map(str, range(60))])  # so many that every split has some
    chosen, _ = assign(rows, Split(kind="group", by="group", seed=seed, validation=0.3, test=0.3))
    for group in set(rows.frame["group"]):
        assert len(set(chosen[(rows.frame["group"] == group).to_numpy()])) == 1


def test_groups_of_several_columns_and_rows_without_a_group() -> None:
    rows = table(shop=["a", "a", "b", "b"] * 10 + [None] * 10, day=["1", "2", "1", "2"] * 10 + [None] * 10)
    chosen, _ = assign(rows, Split(kind="group", by=("shop", "day"), validation=0.3, test=0.3))
    assert all(len(set(chosen[place:40:4])) == 1 for place in range(4))
    assert len(set(chosen[40:])) > 1  # each of them stands alone


def test_a_given_split_is_taken_as_it_is() -> None:
    rows = table(part=["a", "b", "c", "a"])
    split = Split(kind="given", by="part", train_value="a", validation_value="b", test_value="c")
    assert assign(rows, split)[0].tolist() == [TRAIN, VALIDATION, TEST, TRAIN]


def test_a_given_split_without_validation_rows_has_them_carved_from_training() -> None:
    rows = table(part=["train"] * 50 + ["test"] * 50)
    chosen, _ = assign(rows, Split(kind="given", by="part"))
    assert np.bincount(chosen[:50]).tolist() == [45, 5]
    assert (chosen[50:] == TEST).all()


@pytest.mark.parametrize(
    ("rows", "split", "sentence"),
    [
        (numbered(2), Split(), "data.split leaves no row for"),
        (table(day=["1"] * 20), Split(kind="time", by="day"), "data.split leaves no row for"),
        (table(shop=["a"] * 20), Split(kind="group", by="shop"), "data.split leaves no row for"),
        (
            table(part=["train", "tset"]),
            Split(kind="given", by="part"),
            "column 'part' names no split in row 2: it holds 'tset', expected one of train, validation, test",
        ),
        (
            table(part=["train", None]),
            Split(kind="given", by="part"),
            "column 'part' names no split in row 2: it holds nothing",
        ),
        (
            table(day=["1", None]),
            Split(kind="time", by="day"),
            "column 'day' of data.split.by is missing in row 2",
        ),
        (
            table(day=["2015-01-01", "soon"]),
            Split(kind="time", by="day"),
            "column 'day' of data.split.by holds 'soon' in row 2, which is not a number, month name or ISO date",
        ),
        (
            table(day=["1/2", "soon"]),
            Split(kind="time", by="day", format="%d/%m"),
            "data.split.format is '%d/%m', and 'day' in row",
        ),
        (
            table(day=["01/02/2015", "soon"]),
            Split(kind="time", by="day", format="%d/%m/%Y"),
            "data.split.format is '%d/%m/%Y', and 'day' in row 2 is 'soon'",
        ),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(rows: Table, split: Split, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        assign(rows, split)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def users(rows: int, of: int = 5000) -> Table:
    return table(user=[f"u{row % of}" for row in range(rows)], size=list(range(rows)))


def test_a_key_keeps_its_rows_together_and_has_about_the_shares() -> None:
    chosen, notes = assign(users(20_000), Split(key="user", validation=0.2, test=0.3))
    assert (chosen.reshape(4, 5000) == chosen[:5000]).all()
    assert np.bincount(chosen) / 20_000 == pytest.approx(np.array([0.5, 0.2, 0.3]), abs=0.02)
    assert notes[0].startswith("Rows were split at random, by a hash of 'user': ")
    assert (assign(users(20_000), Split(key="user", seed=1))[0] != chosen).any()


@given(rows=st.integers(100, 300), more=st.integers(1, 100), begin=st.integers(0, 50))
def test_a_row_stays_in_its_split_whatever_rows_stand_beside_it(rows: int, more: int, begin: int) -> None:
    split = Split(key=("user", "size"))
    whole, _ = assign(users(rows + more), split)
    np.testing.assert_array_equal(assign(users(rows), split)[0], whole[:rows])
    block = Table(users(rows + more).frame[begin:], users(rows + more).row_numbers[begin:])
    np.testing.assert_array_equal(
        key_places(block, ["user"], 0, "k"), key_places(users(rows + more), ["user"], 0, "k")[begin:]
    )


def test_rows_without_a_key_are_placed_one_by_one() -> None:
    rows = table(user=[None] * 1000, shop=["a", None] * 500)
    assert len(np.unique(key_places(rows, ["user"], 0, "data.split.key"))) == 1000
    assert len(np.unique(key_places(rows, ["user", "shop"], 0, "data.split.key"))) == 501


def test_places_are_the_same_in_every_release() -> None:
    places = key_places(table(user=["u1", "u2", "caf\u00e9"]), ["user"], 0, "data.split.key")
    hashes = [[murmurhash3_32(t.encode(), salt, positive=True) for salt in SALTS] for t in ("u1", "u2", "caf\u00e9")]
    assert places == pytest.approx([(high * 2**32 + low) / 2**64 for high, low in hashes], abs=1e-15)
    assert SALTS == (0x53504C49, 0x54534544)


def test_a_key_is_text_or_numbers() -> None:
    with pytest.raises(DataError, match=r"data\.split\.key names column 'user', which holds List"):
        assign(table(user=[["a"]] * 10), Split(key="user"))
    with pytest.raises(DataError, match=r"data\.split\.key names the column 'nowhere'"):
        assign(users(10), Split(key="nowhere"))
    with pytest.raises(ValueError, match="'key' alone chooses"):
        Split(key="user", stratify=True)
