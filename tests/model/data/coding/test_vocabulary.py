import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.coding import vocabulary as coding
from model.data.coding.vocabulary import ValueIndex, choose, count, merge
from model.schema import FIRST_VALUE, MISSING, UNKNOWN

WORDS = st.sampled_from(["", "a", "b", "\u00e9", "z", "zz"]) | st.none()
ROWS = st.lists(st.tuples(WORDS, st.integers(1, 4)), max_size=40)


def series(texts: list[str | None]) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


@given(rows=ROWS, cut=st.integers(0, 40), min_count=st.integers(1, 8), most=st.integers(0, 3))
def test_weighted_counts_are_those_of_rows_that_stand_so_often_however_cut(
    rows: list[tuple[str | None, int]], cut: int, min_count: int, most: int
) -> None:
    often = count(series([text for text, weight in rows for _ in range(weight)]))
    texts, weights = series([text for text, _ in rows]), np.array([weight for _, weight in rows], np.float32)
    for found in (
        count(texts, weights),
        merge([count(texts[:cut], weights[:cut]), count(texts[cut:], weights[cut:])]),
    ):
        assert sorted(zip(found.values, found.counts, strict=True)) == sorted(
            zip(often.values, often.counts, strict=True)
        )
        assert choose(found, min_count, most) == choose(often, min_count, most)
        assert (found.total, found.missing, found.distinct) == (often.total, often.missing, often.distinct)


def test_the_most_frequent_values_come_first_and_equals_by_their_bytes() -> None:
    counts = count(series(["b", "a", "c", "c", "", "", "", "rare"]))
    assert choose(counts, 1) == ("c", "a", "b", "rare")
    assert choose(counts, 2) == ("c",)
    assert choose(counts, 1, 3) == ("c", "a", "b")


@given(
    vocabulary=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=20),
    texts=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=20),
    slots=st.sampled_from([1, 2, 1 << 20]),
)
def test_codes_are_places_in_the_vocabulary(vocabulary: list[str], texts: list[str | None], slots: int) -> None:
    """Also where several values share a slot."""
    places = {value: FIRST_VALUE + place for place, value in enumerate(vocabulary)}
    asked = [*texts, *vocabulary]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coding, "MOST_SLOTS", slots)
        codes = ValueIndex(vocabulary).codes(series(asked)).tolist()
    assert codes == [places.get(text, UNKNOWN) if text else MISSING for text in asked]
