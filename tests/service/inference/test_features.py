from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.file import read_model
from service.errors import InvalidFeatures, MalformedRequest, RequestTooLarge, ValueProblem
from service.inference.features import Batch, FeatureReader
from service.inference.reading.numbers import all_finite

NAMES = ["age", "height", "balance", "colour", "city"]
ROW = {"age": 39, "height": 1.5, "balance": -2.0, "colour": "red", "city": "Oslo"}
LARGEST = 3.4028234663852886e38
INFINITE_AS_FLOAT32 = 2.0**128 - 2.0**103  # half-way from the largest to the next, which is not there


@pytest.fixture(scope="module")
def reader(hand_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> FeatureReader:
    return FeatureReader(read_model(hand_model(tmp_path_factory.mktemp("models")))[1], max_rows=50)


def numbers(batch: Batch) -> list[list[float | None]]:
    assert batch.numeric is not None
    assert batch.numeric.dtype == np.float32
    return [[None if np.isnan(v) else float(v) for v in row] for row in batch.numeric]


def strings(batch: Batch) -> list[list[str]]:
    assert batch.categorical is not None
    assert batch.categorical.dtype == np.object_
    rows: list[list[str]] = batch.categorical.tolist()
    return rows


def problems(read: Callable[[Any], Batch], sent: object) -> list[ValueProblem]:
    with pytest.raises(InvalidFeatures) as caught:
        read(sent)
    return list(caught.value.problems)


def test_named_rows_come_in_manifest_order(reader: FeatureReader) -> None:
    batch = reader.from_instances([ROW, dict(reversed(ROW.items()))])
    assert numbers(batch) == [[39, 1.5, -2]] * 2
    assert strings(batch) == [["red", "Oslo"]] * 2
    assert batch.rows == 2


def test_rows_as_lists_and_both_forms_mixed(reader: FeatureReader) -> None:
    row = list(ROW.values())
    assert numbers(reader.from_instances([row])) == [[39, 1.5, -2]]
    mixed = reader.from_instances([row, {"age": 1}])
    assert numbers(mixed) == [[39, 1.5, -2], [1, None, None]]
    assert [(p.row, p.feature) for p in problems(reader.from_instances, [row, {"agee": 1}])] == [(1, "agee")]
    assert strings(mixed) == [["red", "Oslo"], ["", ""]]


def test_a_hint_names_the_value_of_the_vocabulary_that_was_meant(
    hand_model: Callable[..., Path], tmp_path: Path
) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        of_colour, of_city = manifest["features"][3:]
        of_colour["vocabulary"], of_city["vocabulary"] = ["1.00", "3.00"], ["True", "False"]

    reader = FeatureReader(read_model(hand_model(tmp_path, edit=edit))[1], max_rows=50)
    columns = {"age": [0, 0], "colour": [3, 7], "city": [True, "true"]}
    for found in (
        problems(reader.from_instances, [{"colour": 3, "city": True}, {"colour": 7, "city": "true"}]),
        problems(reader.from_instances, [[0, 0, 0, 3, True], [0, 0, 0, 7, "true"]]),
        problems(reader.from_inputs, columns),
    ):
        messages = {(problem.row, problem.feature): problem.message for problem in found}
        assert messages == {
            (0, "colour"): 'expected a string or null, got the number 3; send it as a string, "3.00"',
            (0, "city"): 'expected a string or null, got true; send it as a string, "True"',
            (1, "colour"): "expected a string or null, got the number 7",
        }


def test_absent_null_and_empty_are_missing(reader: FeatureReader) -> None:
    batch = reader.from_instances([{**ROW, "age": None, "city": None}, {"height": 2, "colour": ""}, {}])
    assert numbers(batch) == [[None, 1.5, -2], [None, 2, None], [None] * 3]
    assert strings(batch) == [["red", ""], ["", ""], ["", ""]]


def test_columns(reader: FeatureReader) -> None:
    batch = reader.from_inputs({"city": ["Oslo", None, "Rome"], "age": [1, 2.5, None]})
    assert numbers(batch) == [[1, None, None], [2.5, None, None], [None] * 3]
    assert strings(batch) == [["", "Oslo"], ["", ""], ["", "Rome"]]
    complete = reader.from_inputs({name: [value] for name, value in ROW.items()})
    assert numbers(complete) == [[39, 1.5, -2]]


def test_a_model_of_numbers_alone(hand_model: Callable[..., Path], tmp_path: Path) -> None:
    reader = FeatureReader(read_model(hand_model(tmp_path, kind="wide"))[1], max_rows=50)
    batch = reader.from_instances([list(range(100)), {f"x{i}": i for i in range(100)}])
    assert batch.categorical is None
    assert batch.numeric is not None
    assert (batch.numeric == np.arange(100)).all()
    assert list(batch.inputs()) == ["numeric"]


def test_the_largest_float32_is_taken_and_what_rounds_to_it(reader: FeatureReader) -> None:
    batch = reader.from_instances([{"age": LARGEST, "height": -LARGEST, "balance": int(LARGEST)}])
    assert numbers(batch) == [[LARGEST, -LARGEST, LARGEST]]


WRONG_VALUES: list[tuple[str, object, str]] = [
    ("age", True, "got true"),
    ("age", "1.5", "got the string '1.5'; send it without quotes"),
    ("age", "old", "got the string 'old'"),
    ("age", [1], "got an array"),
    ("age", {"value": 1}, "got an object"),
    ("age", float("nan"), "NaN is not a number; send null"),
    ("age", float("inf"), "is infinite as float32"),
    ("age", 1e39, "1e+39 is infinite as float32"),
    ("age", -1e39, "is infinite as float32"),
    ("age", 10**400, "is infinite as float32"),
    ("colour", 5, "got the number 5"),
    ("colour", 1.5, "got the number 1.5"),
    ("colour", False, "expected a string or null, got false"),
    ("colour", ["red"], "got an array"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_VALUES)
def test_a_wrong_value_is_named_in_every_form(reader: FeatureReader, name: str, value: object, message: str) -> None:
    wrong = {**ROW, name: value}
    for rows in ([ROW, wrong], [list(ROW.values()), list(wrong.values())], [{}, {name: value}]):
        (problem,) = problems(reader.from_instances, rows)
        assert (problem.row, problem.feature) == (1, name)
        assert message in problem.message
    for columns in ({n: [ROW[n], wrong[n]] for n in NAMES}, {name: [None, value]}):
        (problem,) = problems(reader.from_inputs, columns)
        assert (problem.row, problem.feature) == (1, name)
        assert message in problem.message


def test_all_problems_are_told_in_order(reader: FeatureReader) -> None:
    found = problems(reader.from_instances, [{**ROW, "age": "x", "city": 3}, ROW, {"agee": 1}, [1, 2], 7, None])
    assert [(p.row, p.feature) for p in found] == [
        (0, "age"),
        (0, "city"),
        (2, "agee"),
        (3, None),
        (4, None),
        (5, None),
    ]
    assert found[2].message == "unknown feature; did you mean 'age'?"
    assert "has 2 values; expected 5 in manifest order ('age' first, 'city' last)" in found[3].message
    assert found[4].message.endswith("got the number 7")


def test_at_most_twenty_problems_are_told_and_the_rest_counted(reader: FeatureReader) -> None:
    with pytest.raises(InvalidFeatures) as caught:
        reader.from_instances([{"age": True, "height": True}] * 30)
    assert len(caught.value.problems) == 20
    assert caught.value.more == 40


def test_an_unknown_feature_is_refused_even_where_the_count_is_right(reader: FeatureReader) -> None:
    row = {**ROW, "salary": 1}
    del row["age"]
    assert problems(reader.from_instances, [row])[0].feature == "salary"
    assert "the model has 'age', 'height'" in problems(reader.from_inputs, {"salary": [1]})[0].message


@pytest.mark.parametrize("values", [5, "red", None, {"0": 1}])
def test_a_column_that_is_no_array_is_refused(reader: FeatureReader, values: object) -> None:
    (problem,) = problems(reader.from_inputs, {"age": values})
    assert problem.feature == "age"
    assert "expected an array with one value per row" in problem.message


def test_ragged_columns_are_refused(reader: FeatureReader) -> None:
    (problem,) = problems(reader.from_inputs, {"age": [1, 2, 3], "colour": ["red"]})
    assert problem == ValueProblem(None, "colour", "has 1 rows, but 'age' has 3")


@pytest.mark.parametrize("columns", [{}, {"age": []}, {"age": [], "city": []}])
def test_no_rows_are_refused(reader: FeatureReader, columns: dict[str, list[Any]]) -> None:
    expected = [ValueProblem(None, None, "no rows were sent; expected at least one")]
    assert problems(reader.from_instances, []) == expected
    assert problems(reader.from_inputs, columns) == expected


def test_too_many_rows_are_refused(reader: FeatureReader) -> None:
    assert reader.from_instances([ROW] * 50).rows == 50
    with pytest.raises(RequestTooLarge, match="51 rows; at most 50"):
        reader.from_instances([ROW] * 51)
    with pytest.raises(RequestTooLarge, match="MMOE_MAX_ROWS"):
        reader.from_inputs({"age": [1] * 51})
    with pytest.raises(RequestTooLarge):
        reader.from_arrays({"numeric": np.zeros((51, 3), np.float32), "categorical": np.full((51, 2), "", object)})


@pytest.mark.parametrize("sent", [None, 5, "rows", {"0": ROW}, True])
def test_instances_that_are_no_array_are_malformed(reader: FeatureReader, sent: object) -> None:
    with pytest.raises(MalformedRequest, match="an array of rows"):
        reader.from_instances(sent)


@pytest.mark.parametrize("sent", [None, 5, "rows", [ROW]])
def test_inputs_that_are_no_object_are_malformed(reader: FeatureReader, sent: object) -> None:
    with pytest.raises(MalformedRequest, match="an object of columns"):
        reader.from_inputs(sent)


def test_arrays_are_checked_for_what_is_not_finite(reader: FeatureReader) -> None:
    numeric = np.ones((3, 3), np.float32)
    arrays = {"numeric": numeric, "categorical": np.full((3, 2), "red", object)}
    assert reader.from_arrays(arrays).rows == 3
    numeric[1, 2] = np.nan
    with pytest.raises(InvalidFeatures, match="row 1, feature 'balance': NaN"):
        reader.from_arrays(arrays)
    assert reader.from_arrays(arrays, nan_is_missing=True).rows == 3
    numeric[2, 0] = np.inf
    with pytest.raises(InvalidFeatures, match="1 problem in the rows sent: row 2, feature 'age'"):
        reader.from_arrays(arrays, nan_is_missing=True)
    with pytest.raises(InvalidFeatures, match="no rows"):
        reader.from_arrays({name: array[:0] for name, array in arrays.items()})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_in_many_that_is_not_finite_is_found(value: float) -> None:
    many = np.full((300, 40), LARGEST, np.float32)
    assert all_finite(many)
    many[299, 39] = value
    assert not all_finite(many)


def test_batches_join_and_part_again(reader: FeatureReader) -> None:
    batches = [reader.from_instances([{"age": i + j} for j in range(i)]) for i in (1, 3, 2)]
    joined = Batch.concat(batches)
    assert joined.rows == 6
    assert [row[0] for row in numbers(joined)] == [1, 3, 4, 5, 2, 3]
    assert numbers(joined.slice(1, 4)) == numbers(batches[1])
    assert strings(joined.slice(4, 6)) == strings(batches[2])
    assert joined.slice(4, 99).rows == 2
    assert Batch.concat(batches[:1]) is batches[0]


JSON_VALUES = st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=3)
ROWS = st.lists(
    st.dictionaries(st.sampled_from([*NAMES, "agee"]), JSON_VALUES, max_size=6) | st.lists(JSON_VALUES, max_size=6),
    min_size=1,
    max_size=3,  # a refusal lists 20 faults at most
)


def fits(name: str, value: object) -> bool:
    if value is None:
        return name in NAMES
    if name in NAMES[:3]:
        return type(value) is not bool and isinstance(value, int | float) and abs(float(value)) < INFINITE_AS_FLOAT32
    return name in NAMES[3:] and type(value) is str


@given(ROWS)
def test_rows_are_read_exactly_or_refused_with_every_fault(reader: FeatureReader, rows: list[Any]) -> None:
    named = [dict(zip(NAMES, r, strict=False)) if isinstance(r, list) else r for r in rows]
    faults: set[tuple[int, str | None]] = {(i, None) for i, r in enumerate(rows) if isinstance(r, list) and len(r) != 5}
    short = {i for i, _ in faults}
    faults |= {(i, n) for i, r in enumerate(named) if i not in short for n, v in r.items() if not fits(n, v)}
    if faults:
        assert {(p.row, p.feature) for p in problems(reader.from_instances, rows)} == faults
    else:
        batch = reader.from_instances(rows)
        expected = [[r.get(n) for n in NAMES[:3]] for r in named]
        with np.errstate(over="ignore"):
            exact = [[None if v is None else float(np.float32(float(v))) for v in row] for row in expected]
        assert numbers(batch) == exact
        assert strings(batch) == [[r.get(n) or "" for n in NAMES[3:]] for r in named]


@given(st.dictionaries(st.sampled_from([*NAMES, "agee"]), st.lists(JSON_VALUES, min_size=2, max_size=2), min_size=1))
def test_columns_and_rows_are_read_alike(reader: FeatureReader, columns: dict[str, list[Any]]) -> None:
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    try:
        batch = reader.from_instances(rows)
    except InvalidFeatures as error:
        unknown = {(None, "agee")} if "agee" in columns else set()
        expected = {(p.row, p.feature) for p in error.problems if p.feature != "agee"} | unknown
        assert {(p.row, p.feature) for p in problems(reader.from_inputs, columns)} == expected
    else:
        assert numbers(reader.from_inputs(columns)) == numbers(batch)
        assert strings(reader.from_inputs(columns)) == strings(batch)


@pytest.mark.parametrize("missing", [True, False])
def test_a_batch_knows_whether_it_misses_a_number(reader: FeatureReader, missing: bool) -> None:
    age = None if missing else 1.0
    rows = {"age": age, "height": 2.0, "balance": 3.0, "colour": "red", "city": "Oslo"}
    numeric = np.array([[np.nan if missing else 1.0, 2.0, 3.0]], np.float32)
    arrays = {"numeric": numeric, "categorical": np.array([["red", "Oslo"]], object)}
    whole = reader.from_instances([{**rows, "age": 1.0}])
    for batch in (
        reader.from_instances([rows]),
        reader.from_instances([list(rows.values())]),
        reader.from_inputs({name: [value] for name, value in rows.items()}),
        reader.from_arrays(arrays, nan_is_missing=True),
    ):
        assert batch.complete is not missing
        assert Batch.concat([whole, batch]).complete is not missing
