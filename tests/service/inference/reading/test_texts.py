"""Text of hashed features and bags, from every way in: what is taken, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.entries import MISSING_TIME
from service.artifact.file import read_model
from service.errors import InvalidFeatures
from service.inference.features import Batch, FeatureReader
from service.inference.reading.bags import Bag

NAMES = ["age", "height", "balance", "colour", "city", "user", "tags", "seen", "clicked_at"]
ROW: dict[str, Any] = {
    **{"age": 1, "height": 2, "balance": 3, "colour": "red", "city": "Oslo"},
    **{"user": "u1", "tags": ["art", "news"], "seen": ["a", 7], "clicked_at": 86400},
}


@pytest.fixture(scope="module")
def reader(hand_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> FeatureReader:
    text = {"category_text": {"strip": True, "normalization": "NFC"}}
    path = hand_model(tmp_path_factory.mktemp("models"), kind="kinds", edit=lambda manifest: manifest.update(text))
    return FeatureReader(read_model(path)[1], max_rows=50)


def read(reader: FeatureReader, **values: Any) -> Batch:
    """Read a row in its three forms, and make sure that they are read alike."""
    row = ROW | values
    batch = reader.from_instances([row])
    columns = {name: [value] for name, value in row.items()}
    for other in (reader.from_instances([list(row.values())]), reader.from_inputs(columns)):
        for array, same in zip(batch.inputs().values(), other.inputs().values(), strict=True):
            np.testing.assert_array_equal(array, same)
    return batch


def texts(batch: Batch) -> list[str]:
    assert batch.categorical is not None
    found: list[str] = batch.categorical[0].tolist()
    return found


def fault(reader: FeatureReader, **values: Any) -> str:
    """Return what is said of a value, which is refused alike in the three forms."""
    ((name, _),) = values.items()
    row = ROW | values
    told = set()
    for sent, read_one in (
        ([{}, row], reader.from_instances),
        ([list(ROW.values()), list(row.values())], reader.from_instances),
        ({column: [None, value] for column, value in row.items()}, reader.from_inputs),
    ):
        with pytest.raises(InvalidFeatures) as caught:
            read_one(sent)
        (problem,) = caught.value.problems
        assert problem[:2] == (1, name)
        told.add(problem.message)
    (message,) = told
    return message


def test_a_batch_has_the_three_tensors(reader: FeatureReader) -> None:
    batch = read(reader)
    assert list(batch.inputs()) == ["numeric", "categorical", "datetime"]
    assert texts(batch) == ["red", "Oslo", "u1", "art|news", "a, 7"]
    assert batch.datetime is not None
    assert batch.datetime.dtype == np.int64
    assert batch.datetime.tolist() == [[86400]]


def test_absent_null_and_empty_are_missing(reader: FeatureReader) -> None:
    for batch in (reader.from_instances([{}]), read(reader, **dict.fromkeys(NAMES))):
        assert texts(batch) == [""] * 5
        assert batch.datetime is not None
        assert batch.datetime.tolist() == [[MISSING_TIME]]
    assert texts(read(reader, user="", tags=[], seen=[""]))[2:] == ["", "", ""]


def test_rows_of_different_bags_in_one_request(reader: FeatureReader) -> None:
    rows = [{"tags": ["art"] * count, "seen": [str(count)] * (3 - count), "user": count} for count in range(4)]
    found = reader.from_instances(rows).categorical
    assert found is not None
    assert found[:, 2].tolist() == ["0", "1", "2", "3"]
    assert found[:, 3].tolist() == ["", "art", "art|art", "art|art|art"]
    assert found[:, 4].tolist() == ["0, 0, 0", "1, 1", "2", ""]


def test_values_are_prepared_one_by_one(reader: FeatureReader) -> None:
    batch = read(reader, user=" A\u030a1 ", tags=["\u00a0art ", "a\u030a"], seen=[" x"])
    assert texts(batch)[2:] == ["Å1", "art|å", "x"]
    arrays = batch.inputs() | {"categorical": np.array([["red", "Oslo", " u ", " art | a\u030a", "x , y"]], object)}
    assert texts(reader.from_arrays(arrays))[2:] == ["u", "art|å", "x, y"]


@pytest.mark.parametrize(("number", "digits"), [(7, "7"), (-7, "-7"), (0, "0"), (2**64 - 1, str(2**64 - 1))])
def test_whole_numbers_are_ids_by_their_digits(reader: FeatureReader, number: int, digits: str) -> None:
    assert texts(read(reader, user=number, seen=[number, "x"]))[2:] == [digits, "art|news", f"{digits}, x"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.0, "got the number 1.0; send it as a string, digit by digit as the table spells it"),
        (True, 'got true; send it as a string, as the table spells it, for example "true"'),
        (["u1"], "got an array"),
        ({}, "got an object"),
        (2**64, "got the number 18446744073709551616; send it as a string, digit by digit as the table spells it"),
    ],
)
def test_what_is_not_an_id_is_refused(reader: FeatureReader, value: object, told: str) -> None:
    assert fault(reader, user=value) == f"expected a string, a whole number or null, {told}"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("art|news", "expected an array of strings or null, got the string 'art|news'; send an array, "
         '["art", "news"]'),
        ("art", """expected an array of strings or null, got the string 'art'; send an array, ["art"]"""),
        ("", "expected an array of strings or null, got the string ''; send an array, []"),
        (3, 'expected an array of strings or null, got the number 3; send an array, [3]'),
        (True, "expected an array of strings or null, got true"),
        ({}, "expected an array of strings or null, got an object"),
        (["art", None], "value 1 of the array is null; leave a missing value out"),
        (["art", 1.5], "value 1 of the array: expected a string or a whole number, got the number 1.5; send it as a "
         "string, digit by digit as the table spells it"),
        ([["art"]], "value 0 of the array: expected a string or a whole number, got an array"),
        (["x", "art|news"], "value 1 of the array, 'art|news', contains the separator '|', which parts a bag's values "
         "in text; send it as two values"),
    ],
)  # fmt: skip
def test_what_is_not_a_bag_is_refused(reader: FeatureReader, value: object, told: str) -> None:
    assert fault(reader, tags=value) == told


def test_values_that_make_a_separator_together_are_refused() -> None:
    bag = Bag("||")
    with pytest.raises(ValueError, match="separator"):
        bag.join(["a|", "b"])
    assert "in other places than between them" in (bag.fault(["a|", "b"]) or "")
    assert bag.fault(["a", "|b"]) is None or bag.join(["a", "|b"])


@given(st.lists(st.text("ab|,# ", max_size=4), max_size=5), st.sampled_from(["|", ", ", "||", "#", "ab"]))
def test_a_bag_that_is_taken_comes_apart_into_its_values(values: list[str], separator: str) -> None:
    bag = Bag(separator)
    if bag.fault(values) is None:
        assert [v for v in bag.split(bag.join(values)) if v] == [v for v in values if v]
    else:
        with pytest.raises(ValueError, match="separator"):
            bag.join(values)


def test_faults_of_every_kind_are_told_in_order(reader: FeatureReader) -> None:
    row = {"age": "x", "colour": 1, "user": 1.5, "tags": "a", "seen": [True], "clicked_at": "now", "what": 1}
    with pytest.raises(InvalidFeatures) as caught:
        reader.from_instances([{}, row])
    assert [problem.feature for problem in caught.value.problems] == [
        "what", "age", "colour", "user", "tags", "seen", "clicked_at"
    ]  # fmt: skip
