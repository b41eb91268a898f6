"""JSON bodies -> batches: the fast path and the other one take and refuse the same."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import RequestError
from service.http.codecs.numbers import NumberParser
from service.http.codecs.rows import RowParser
from service.inference.features import Batch, FeatureReader

N = 100


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Manifest:
    return read_model(hand_model(tmp_path_factory.mktemp("models"), "wide", kind="wide"))[1]


@pytest.fixture(scope="module")
def with_simdjson(manifest: Manifest) -> RowParser:
    numbers = NumberParser.create()
    if not numbers.available:
        pytest.skip("simdjson is not installed")
    return RowParser(FeatureReader(manifest, 50), numbers)


@pytest.fixture(scope="module")
def without(manifest: Manifest) -> RowParser:
    return RowParser(FeatureReader(manifest, 50), NumberParser())


def outcome(parser: RowParser, body: bytes) -> Any:
    """Return what a body is read as: its numbers, or its refusal."""
    try:
        batch, columns, _ = parser.parse(body)
    except RequestError as error:
        return type(error), str(error)
    assert batch.numeric is not None
    assert batch.numeric.dtype == np.float32
    return batch.numeric.tobytes(), batch.numeric.shape, batch.rows, columns


value = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e6, 1e6),
    st.integers(-(2**70), 2**70),
    st.sampled_from([3.4028234e38, 3.4028235677973366e38, 3.4028236e38, 1e38, -1e38, 1e-46, -0.0, 0]),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)
plain = st.floats(-1e3, 1e3).map(lambda number: round(number, 3))
rows = st.lists(
    st.builds(
        lambda start, odd, at: [*start[:at], *odd, *start[at:]][: N + len(odd) - 1],
        st.lists(plain, min_size=N, max_size=N),
        st.lists(value, max_size=2),
        st.integers(0, N),
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(
    rows, st.sampled_from(["", " ", "\n\t "]), st.sampled_from(["", ', "signature_name": "[["', ', "instances": []'])
)
@example([[0.5] * N, [0.5] * N], "", "")
@example([[[1.0, 2.0], [], *[0.5] * (N - 2)]], "", "")
@example([[0.5] * (N - 1), [0.5] * (N + 1)], "", "")
@example([], "", "")
@example([[]], "", "")
def test_both_ways_read_the_same(
    with_simdjson: RowParser, without: RowParser, rows: list[Any], blank: str, more: str
) -> None:
    text = json.dumps(rows)
    body = f'{blank}{{{blank}"instances"{blank}:{blank}{text}{more}{blank}}}{blank}'.encode()
    assert outcome(with_simdjson, body) == outcome(without, body)


@pytest.mark.parametrize(
    "text",
    ["NaN", "1e999", "1e39", "-1e400", "1e38", "01", "1.", ".5", "+1", "0x1", "true", "null", '"1"', "1e-999", "1,"],
)
@pytest.mark.parametrize("rows", [1, 3, 45])
def test_both_ways_judge_a_number_the_same(with_simdjson: RowParser, without: RowParser, text: str, rows: int) -> None:
    row = "[" + ", ".join(["0.5"] * N) + "]"
    last = "[" + ", ".join(["0.5"] * (N - 1) + [text]) + "]"
    body = f'{{"instances": [{", ".join([row] * (rows - 1) + [last])}]}}'.encode()
    assert outcome(with_simdjson, body) == outcome(without, body)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"instances": [[1]]}',
        b'{"instances": [[\xff]]}',
        b'{"instances": [[1]]} {}',
        b'{"instances": [[1]]',
        b'{"instances":[[1],]}',
        b'{"instances":[[1]]}\x00',
        b'{"instances":[["[["]]}',
    ],
)
def test_both_ways_refuse_what_is_no_json(with_simdjson: RowParser, without: RowParser, body: bytes) -> None:
    assert outcome(with_simdjson, body) == outcome(without, body)


def test_the_fast_path_is_taken(with_simdjson: RowParser, manifest: Manifest) -> None:
    numbers = NumberParser.create()
    for count in (1, 45, 600):
        body = json.dumps({"instances": np.random.default_rng(0).normal(size=(count, N)).tolist()}).encode()
        found = numbers.instances(body, N)
        assert found is not None
        assert found.shape == (count, N)
        assert math.isfinite(found.sum())


def test_a_refusal_does_not_spoil_the_parser(with_simdjson: RowParser) -> None:
    good = json.dumps({"instances": [[0.5] * N]}).encode()
    for bad in (b'{"instances":[[1,2', b'{"instances":[["x"]]}', b'{"instances":[[1],[2,3]]}', b'{"instances":[[{}]]}'):
        assert isinstance(outcome(with_simdjson, bad)[0], type)
        assert isinstance(outcome(with_simdjson, good)[0], bytes)


tensor_body = '{{"inputs": [{{"name": "numeric", "shape": {shape}, "datatype": "{kind}", "data": {data}}}]{more}}}'


@pytest.mark.parametrize(
    ("shape", "kind", "data", "more", "taken"),
    [
        ("[2, 3]", "FP32", "[1, 2, 3, 4, 5, 6]", "", True),
        ("[2, 3]", "FP32", "[[1, 2, 3], [4, 5, 6]]", "", True),
        ("[2, 3]", "FP64", "[[1, 2, 3], [4, 5, 6]]", ', "id": "x", "outputs": [{"name": "y"}]', True),
        ("[2, 3]", "FP32", "[[1, 2, 3], [4, 5, 6]]", ', "parameters": {"binary_data_output": true}', True),
        ("[2, 3]", "FP16", "[1, 2, 3, 4, 5, 6]", "", False),
        ("[2, 3]", "FP32", "[[1, 2, 3], [4, 5]]", "", False),
        ("[2, 3]", "FP32", "[[1, 2, 3], [4, [5, 6], []]]", "", False),
        ("[2, 3]", "FP32", "[1, 2, 3, 4, [5, 6], []]", "", False),
        ("[2, 3]", "FP32", "[1, 2, 3, 4, 5]", "", False),
        ("[2, 3, 1]", "FP32", "[1, 2, 3, 4, 5, 6]", "", False),
        ("[2.0, 3]", "FP32", "[1, 2, 3, 4, 5, 6]", "", False),
        ("[]", "FP32", "[1, 2, 3, 4, 5, 6]", "", False),
        ("[0, 3]", "FP32", "[]", "", False),
        ("[2, 3]", "FP32", "[1, 2, 3, 4, 5, null]", "", False),
        ("[2, 3]", "FP32", "[1, 2, 3, 4, 5, 1e39]", "", False),
        ("[2, 3]", "FP32", "[1, 2, 3, 4, 5, 6]", ', "id": "["', False),
        ("[2, 3]", "FP32", "[1, 2, 3, 4, 5, 6]", ', "inputs": []', False),
    ],
)
def test_tensors_are_taken_only_when_all_is_as_expected(
    shape: str, kind: str, data: str, more: str, taken: bool
) -> None:
    numbers = NumberParser.create()
    if not numbers.available:
        pytest.skip("simdjson is not installed")
    body = tensor_body.format(shape=shape, kind=kind, data=data, more=more).encode()
    found = numbers.tensor(body, "numeric", 3, {"FP32", "FP64"})
    assert (found is not None) == taken
    if found is not None:
        assert found[0].tolist() == [[1, 2, 3], [4, 5, 6]]
        assert found[1] == {key: item for key, item in json.loads(body).items() if key != "inputs"}


def test_a_batch_of_the_fast_path_is_like_any_other(with_simdjson: RowParser) -> None:
    batch, columns, _ = with_simdjson.parse(json.dumps({"instances": [[0.5] * N] * 2}).encode())
    assert not columns
    assert isinstance(batch, Batch)
    assert batch.categorical is None
    assert batch.rows == 2
