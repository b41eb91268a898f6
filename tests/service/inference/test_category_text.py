"""Text of categories: steps before the graph looks a value up, where the manifest says so."""

import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact.entries import CategoryText
from service.artifact.file import read_model
from service.inference.category_text import BETWEEN, WHITE_SPACE, preparation
from service.inference.features import FeatureReader

COMPOSED, DECOMPOSED = "\u00c5lesund", "A\u030alesund"
BOTH = CategoryText(strip=True, normalization="NFC")


def prepared(values: list[str], text: CategoryText) -> list[str]:
    prepare = preparation(text)
    return values if prepare is None else prepare(values, BETWEEN.join(values))


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab \t\u3000\x1f\u00e5a\u030a\u1100\u1161e\u0301")), max_size=8))
def test_values_are_prepared_each_by_itself(values: list[str]) -> None:
    stripped = [value.strip(WHITE_SPACE) for value in values]
    composed = [unicodedata.normalize("NFC", value) for value in values]
    assert prepared(values, CategoryText()) is values
    assert prepared(values, CategoryText(strip=True)) == stripped
    assert prepared(values, CategoryText(normalization="NFC")) == composed
    assert prepared(values, BOTH) == [unicodedata.normalize("NFC", value) for value in stripped]


def test_values_that_are_right_are_not_copied() -> None:
    values = ["red", COMPOSED, "a b", ""]
    assert prepared(values, BOTH) is values


def test_white_space_is_what_the_reader_of_tables_strips() -> None:
    polars = pytest.importorskip("polars", reason="needs the trainer's packages")
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    stripped = polars.Series(every).str.strip_chars().to_list()
    assert {character for character, left in zip(every, stripped, strict=True) if not left} == set(WHITE_SPACE)


@pytest.fixture
def reader_of(hand_model: Callable[..., Path], tmp_path: Path) -> Callable[..., FeatureReader]:
    def read(**text: object) -> FeatureReader:
        def edit(manifest: dict[str, Any]) -> None:
            if text:
                manifest["category_text"] = text

        return FeatureReader(read_model(hand_model(tmp_path, edit=edit))[1], max_rows=10)

    return read


def test_every_way_into_the_service_prepares_values(reader_of: Callable[..., FeatureReader]) -> None:
    reader = reader_of(strip=True, normalization="NFC")
    numeric, sent = np.zeros((2, 3), np.float32), [[" red ", DECOMPOSED], ["\u00a0", "Oslo"]]
    rows = [[0, 0, 0, *row] for row in sent]
    columns = {"age": [0, 0], "colour": [row[0] for row in sent], "city": [row[1] for row in sent]}
    for batch in (
        reader.from_instances(rows),
        reader.from_inputs(columns),
        reader.from_arrays({"numeric": numeric, "categorical": np.array(sent, object)}),
    ):
        assert batch.categorical is not None
        assert batch.categorical.tolist() == [["red", COMPOSED], ["", "Oslo"]]


def test_values_stay_as_they_are_where_the_manifest_says_nothing(reader_of: Callable[..., FeatureReader]) -> None:
    batch = reader_of().from_instances([[0, 0, 0, " red ", DECOMPOSED]])
    assert batch.categorical is not None
    assert batch.categorical.tolist() == [[" red ", DECOMPOSED]]
