"""CSV and JSON lines in parts: the same rows and the same words as of the file read whole."""

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tables.config import TableData
from tables.errors import DataError
from tables.files import csv_parts, json_parts
from tables.files.csv_files import read_csv
from tables.files.csv_parts import csv_frames, csv_rows
from tables.files.json_parts import json_frames, json_look
from tables.files.typed_files import read_typed

SIZES = (16, 40, 10_000)
QUOTED = b'a,b\n"x,1","y\n""z"""\n1,2\n,\n"",""\n\n"q",r\n' * 3


def data(**values: Any) -> TableData:
    return TableData.model_validate({"kind": "table", "path": "t"} | values)


def whole(content: bytes, path: Path, config: TableData) -> pl.DataFrame | str:
    try:
        return read_csv(content, config, path)
    except DataError as error:
        return str(error)


def in_parts(content: bytes, path: Path, config: TableData) -> pl.DataFrame | str:
    path.write_bytes(content)
    try:
        frames = list(csv_frames(path, path, config))
    except DataError as error:
        return str(error)
    assert csv_rows(path, path, config) == sum(frame.height for frame in frames)
    return pl.concat(frames)


def check(content: bytes, path: Path, config: TableData) -> None:
    expected, found = whole(content, path, config), in_parts(content, path, config)
    if isinstance(expected, pl.DataFrame) and isinstance(found, pl.DataFrame):
        assert found.equals(expected)
    else:
        assert str(found) == str(expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("content", "config"),
    [
        (b"a,b\n" + b"1,2\n" * 50, {}),
        (b"a,b\r\n" + b"1,2\r\n" * 50, {}),
        (b"\xef\xbb\xbfa,b\n1,2\n\n\n3,4\n\n", {}),
        (b"a,b\n1,2\n3,4", {}),
        (b"a,b\n", {}),
        (QUOTED, {}),
        (QUOTED, {"header": False, "columns": ("x", "y")}),
        (QUOTED, {"columns": ('odd,"name', "y")}),
        (b"sep=;\na;b\n" + b"1;2\n" * 20, {}),
        (b'size,b\n6" pipe,1\n7,2\n8" pipe,3\n9" pipe,4\n"x",5\n', {"quote": ""}),
        (b'size,b\n6" pipe,1\n7,2\n8,3\n9,4\n', {}),
        (b"a,b,c\n1,2,3\n4\n5,6\n" * 5, {"fill_short_rows": True}),
        (("n\u00e4me;x\n" + "\u00fc;1\n" * 30).encode("latin-1"), {"encoding": "latin-1", "separator": ";"}),
        (("n\u00e4me,x\n" + "\u00fc,1\n" * 30).encode("utf-16"), {"encoding": "utf-16"}),
        (b"", {}),
        (b"a,b\n1,2\n1,2\n1,2\n1,2,3\n1,2\n", {}),
        (b"a,b\n1,2\n1,2\n1,2\n1\n1,2\n", {}),
        (b"a,b\n1,2\n1,2\n1,2\n1,\xff\n1,2\n", {}),
        (b"a,b\n1,2\n1,2\n1,2\n1,\0\n1,2\n", {}),
        (b'a,b\n1,2\n1,2\n1,2\n1,"x" y\n1,2\n', {}),
        (b"a,b\n1,2\n" * 5, {"encoding": "utf-99"}),
        (b"a,b,a\n1,2,3\n", {}),
    ],
)  # fmt: skip
def test_parts_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, config: Any, size: int
) -> None:
    monkeypatch.setattr(csv_parts, "PIECE_BYTES", size)
    check(content, tmp_path / "t.csv", data(**config))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.text(alphabet='a"\n,\u00e9 ', max_size=6)] * 2), max_size=12),
    size=st.sampled_from(SIZES),
)
def test_any_quoted_table_is_the_same_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Any, size: int
) -> None:
    monkeypatch.setattr(csv_parts, "PIECE_BYTES", size)
    content = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row").write_csv(quote_style="always")
    check(content.encode(), tmp_path / "t.csv", data())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("packing", ["gzip", "zip"])
def test_packed_text_is_read_as_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str, size: int
) -> None:
    monkeypatch.setattr(csv_parts, "PIECE_BYTES", size)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("t.csv", QUOTED)
    path = tmp_path / "t"
    content = gzip.compress(QUOTED, mtime=0) if packing == "gzip" else archive.getvalue()
    path.write_bytes(content)
    assert pl.concat(csv_frames(path, path, data())).equals(read_csv(QUOTED, data(), path))
    path.write_bytes(content[: len(content) - 12])
    with pytest.raises(DataError, match=r"cannot be unpacked: .*; it may be damaged or cut short"):
        list(csv_frames(path, path, data()))


def test_a_value_without_an_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_parts, "PIECE_BYTES", 100)
    content = b'a,b\n1,"2\n' + b"1,2\n" * 10_000
    said = in_parts(content, tmp_path / "t.csv", data())
    assert isinstance(said, str)
    assert "row 1, column 2 'b' (line 2) holds a quote mark that does not enclose a value" in said


LINES = b'{"a": 1, "b": "x"}\n{"b": "y", "a": 2.5}\n\n{"c": [1]}\n{"c": ["z"], "a": null}\n{"a": 3}\n'


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "content",
    [
        LINES,
        LINES * 20,
        b"\xef\xbb\xbf" + LINES.rstrip(),
        b'{"a": 1}\n{"a": 2}\n{"a": "x"}\n{"a": 1.0}\n{"a": 1e3}\n',
        b'{"a": 1}\n{"a": 2}\n{"a": true}\n',
        b'{"a": 1}\n{"a": 2}\n{"a": \n',
        b'{"a": 1}\n{"a": 2}\n{"a": [1]}\n',
        b'{"a": 1}\n[1]\n',
        b'[{"a": 1}]',
    ],
)
def test_lines_in_parts_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, size: int
) -> None:
    monkeypatch.setattr(json_parts, "PIECE_BYTES", size)
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    expected = _lines_whole(content, path)
    if isinstance(expected, str):
        with pytest.raises(DataError) as caught:
            list(json_frames(path, path, json_look(path, path)[0]))
        said = str(caught.value)
        assert said == expected or said.startswith(f"{path}: column 'a' holds ")
        return
    schema, rows = json_look(path, path)
    found = pl.concat(json_frames(path, path, schema))
    assert rows == found.height == expected.height
    assert found.equals(expected)
    names = list(schema)[-1:]
    assert pl.concat(json_frames(path, path, {name: schema[name] for name in names})).equals(expected[names])


def _lines_whole(content: bytes, path: Path) -> pl.DataFrame | str:
    try:
        return read_typed(content, "jsonl", path)
    except DataError as error:
        return str(error)
