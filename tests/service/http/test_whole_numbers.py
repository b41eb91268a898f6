"""Whole numbers of any size.

Every way into the service reads one as the trainer does from a table, or refuses it.
"""

import json
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import InvalidFeatures, MalformedRequest, RequestError
from service.http.codecs.numbers import NumberParser
from service.http.codecs.rows import RowParser
from service.http.codecs.v2_infer import HEADER_LENGTH, parse
from service.http.codecs.v2_tensors import Signature
from service.inference.features import Batch, FeatureReader

N = 100
FLOAT32_HALF_ULP, DOUBLE_HALF_ULP = Fraction(1, 2**24), Fraction(1, 2**53)
Way = Callable[[], Batch]

whole = st.one_of(
    st.integers(-(2**25), 2**25),
    st.integers(-(2**53), 2**53),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-(10**38), 10**38),
    st.builds(
        lambda top, shift, low: (top << shift) + low, st.integers(2**24, 2**25), st.integers(1, 90), st.integers(-2, 2)
    ),
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Manifest:
    return read_model(hand_model(tmp_path_factory.mktemp("models"), "wide", kind="wide"))[1]


def ways(manifest: Manifest, text: str) -> Iterator[tuple[str, Way]]:
    """Give each way that a number of JSON can take into the service, by name."""
    reader = FeatureReader(manifest, 50)
    row = [text] + ["1"] * (N - 1)
    listed = ", ".join(row)
    by_name = ", ".join(f'"{name}": {value}' for name, value in zip(manifest.feature_names, row, strict=True))
    columns = ", ".join(f'"{name}": [{value}]' for name, value in zip(manifest.feature_names, row, strict=True))
    bodies = {
        "list": f'{{"instances": [[{listed}]]}}',
        "long list": f'{{"instances": [[{listed}]{f", [{listed}]" * 44}]}}',
        "list with null": f'{{"instances": [[{listed[: listed.rindex("1")]} null]]}}',
        "object": f'{{"instances": [{{{by_name}}}]}}',
        "columns": f'{{"inputs": {{{columns}}}}}',
    }
    for numbers in (NumberParser.create(), NumberParser()):
        parser, signature = RowParser(reader, numbers), Signature(reader, manifest, numbers)
        for name, body in bodies.items():
            yield name, lambda parser=parser, body=body: parser.parse(body.encode())[0]  # type: ignore[misc]
        for datatype in ("FP32", "FP64", *(["INT64", "UINT64"] if fits(text) else [])):
            if datatype == "UINT64" and text.startswith("-"):
                continue
            if datatype == "INT64" and int(text) >= 2**63:
                continue
            tensor = f'{{"name": "numeric", "datatype": "{datatype}", "shape": [1, {N}], "data": [{listed}]}}'
            body = f'{{"inputs": [{tensor}]}}'
            yield datatype, lambda signature=signature, body=body: parse(signature, {}, body.encode()).batch  # type: ignore[misc]


def fits(text: str) -> bool:
    return text.lstrip("-").isdigit() and -(2**63) <= int(text) < 2**64


def raw(manifest: Manifest, value: int, dtype: str, datatype: str) -> Batch:
    signature = Signature(FeatureReader(manifest, 50), manifest, NumberParser())
    data = np.array([value] + [1] * (N - 1), dtype).tobytes()
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "numeric",
                    "datatype": datatype,
                    "shape": [1, N],
                    "parameters": {"binary_data_size": len(data)},
                }
            ]
        }
    ).encode()
    return parse(signature, {HEADER_LENGTH: b"%d" % len(head)}, head + data).batch


def first(batch: Batch) -> Any:
    assert batch.numeric is not None
    return batch.numeric[0, 0]


@settings(max_examples=150, deadline=None)
@given(whole)
@example(2**24 + 1)
@example(2**53 + 1)
@example(2**60 + 2**36 + 1)  # a double of it lies half-way between two float32, itself it does not
@example(2**63)
@example(2**64 - 1)
@example(-(2**63))
@example(2**64)
@example(10**38)
def test_every_way_gives_the_float32_that_the_trainer_gives(manifest: Manifest, value: int) -> None:
    expected = np.float64(value).astype(np.float32)  # as model/data/columns.py and coding.py read a table's cell
    error = abs(Fraction(float(expected)) - value)
    assert error <= abs(value) * (FLOAT32_HALF_ULP + DOUBLE_HALF_ULP)
    if abs(value) <= 2**53:
        assert error <= abs(value) * FLOAT32_HALF_ULP
    for name, read in ways(manifest, str(value)):
        assert first(read()) == expected, name
    if -(2**63) <= value < 2**63:
        assert first(raw(manifest, value, "<i8", "INT64")) == expected
    if 0 <= value < 2**64:
        assert first(raw(manifest, value, "<u8", "UINT64")) == expected
    assert first(raw(manifest, value, "<f8", "FP64")) == expected


def test_the_trainer_reads_the_same(tmp_path: Path) -> None:
    columns = pytest.importorskip("model.data.columns", reason="needs the trainer's packages")
    import polars as pl

    values = [2**24 + 1, 2**53 + 1, 2**60 + 2**36 + 1, 2**63 - 1, -(2**63)]
    expected = np.array(values, np.float64).astype(np.float32).tolist()
    for series in (pl.Series(values, dtype=pl.Int64), pl.Series([str(value) for value in values])):
        parsed = columns.parse(series)
        assert parsed.to_numpy().astype(np.float32).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "1" + "0" * 39,
        "-1" + "0" * 39,
        "9" * 400,
        "1e39",
        "1e400",
        "-1e400",
        "9" * 4000,
        "340282356779733661637539395458142568448",
    ],
)
def test_every_way_refuses_what_float32_cannot_hold(manifest: Manifest, text: str) -> None:
    for name, read in ways(manifest, text):
        with pytest.raises(RequestError) as refused:
            read()
        assert type(refused.value) in (InvalidFeatures, MalformedRequest), name
        assert re.search("infini(te|ty)", str(refused.value)), name
