import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from model.data.coding import hashing
from model.data.coding.hashed import bucket_codes, collision_share
from model.data.coding.hashing import murmur3_32, murmur3_32_by_seeds
from model.schema import FIRST_VALUE, MISSING

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HARD = [
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "abcde",
    "\u00e9",
    "\U0001f600",
    "x" * 500,
    "\u65e5\u672c\u8a9e" * 170,
    "\0",
    "\0\0",
]


def expected(texts: list[str], seed: int) -> list[int]:
    return [murmurhash3_32(text.encode(), seed, positive=True) for text in texts]


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_hashes_are_those_of_scikit_learn(seed: int) -> None:
    for texts in (HARD, HARD[4:], [""], []):
        assert murmur3_32(pl.Series(texts, dtype=pl.String), seed).tolist() == expected(texts, seed)


@given(texts=st.lists(TEXT, max_size=30), seed=st.integers(0, 2**32 - 1))
def test_hashes_of_any_text_are_those_of_scikit_learn(texts: list[str], seed: int) -> None:
    assert murmur3_32(pl.Series(texts, dtype=pl.String), seed).tolist() == expected(texts, seed)


def test_several_seeds_and_chunks_of_rows_are_hashed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "CHUNK_ROWS", 5)
    found = murmur3_32_by_seeds(pl.Series(HARD), (3, 2**32 - 1))
    assert found.tolist() == [expected(HARD, 3), expected(HARD, 2**32 - 1)]


@given(texts=st.lists(st.none() | TEXT, max_size=30), buckets=st.integers(2, 2**31 - 3))
def test_a_code_is_a_bucket_or_missing(texts: list[str | None], buckets: int) -> None:
    codes = bucket_codes(pl.Series(texts, dtype=pl.String), buckets).tolist()
    assert codes == [FIRST_VALUE + expected([t], 0)[0] % buckets if t else MISSING for t in texts]


@pytest.mark.parametrize(("distinct", "buckets"), [(1, 10), (2, 2), (500, 1000), (20_000, 10_000)])
def test_the_expected_share_of_collisions_is_what_random_values_have(distinct: int, buckets: int) -> None:
    generator, shares = np.random.default_rng(0), []
    for _ in range(200):
        counts = np.bincount(generator.integers(buckets, size=distinct), minlength=buckets)
        shares.append(counts[counts > 1].sum() / distinct)
    assert collision_share(distinct, buckets) == pytest.approx(np.mean(shares), abs=0.1 if distinct == 2 else 0.01)
