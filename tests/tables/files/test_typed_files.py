"""Parquet, Arrow and JSON lines, files under wrong names, and kinds that are refused."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tables.config import TableData
from tables.errors import DataError
from tables.source import Table, read_table

FRAME = pl.DataFrame({"name": ["red", None, "green"], "size": [1.5, 2.0, None], "old": [True, False, None]})


def read(path: Path, content: bytes, **settings: Any) -> Table:
    path.write_bytes(content)
    return read_table(TableData(kind="table", path=str(path), **settings))[0]


def refusal(path: Path, content: bytes, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, content, **settings)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


def written(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "parquet":
        FRAME.write_parquet(file)
    elif kind == "arrow":
        FRAME.write_ipc(file)
    elif kind == "stream":
        FRAME.write_ipc_stream(file)
    elif kind == "jsonl":
        FRAME.write_ndjson(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("t.parquet", "parquet"),
        ("t.csv", "parquet"),
        ("t.arrow", "arrow"),
        ("t.feather", "arrow"),
        ("t", "stream"),
        ("t.jsonl", "jsonl"),
        ("t.ndjson", "jsonl"),
        ("t.csv", "jsonl"),
    ],
)
def test_typed_columns_are_read_whatever_the_file_is_called(tmp_path: Path, name: str, kind: str) -> None:
    table = read(tmp_path / name, written(kind))
    assert table.typed
    assert table.frame.equals(FRAME)


def test_the_name_inside_a_wrapping_counts(tmp_path: Path) -> None:
    content = b' {"a": 1, "b": "x"}\n\n{"b": "y", "a": 2.5}\n'
    assert read(tmp_path / "t.jsonl.gz", gzip.compress(content)).frame.rows() == [(1.0, "x"), (2.5, "y")]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inside.ndjson", content)
    assert read(tmp_path / "t.zip", archive.getvalue()).frame.rows() == [(1.0, "x"), (2.5, "y")]


def test_text_under_the_name_of_a_binary_kind_is_csv(tmp_path: Path) -> None:
    assert read(tmp_path / "t.parquet", b"a,b\n1,2\n").frame.rows() == [("1", "2")]


def test_json_lines_may_lack_keys_and_begin_with_a_mark(tmp_path: Path) -> None:
    late = b'\xef\xbb\xbf{"a": 1}\n' * 1 + b'{"a": 1}\n' * 300 + b'{"b": "late"}\n'
    table = read(tmp_path / "t.jsonl", late)
    assert table.frame.columns == ["a", "b"]
    assert table.frame.row(-1) == (None, "late")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"a": 1}\n{"a": \n', "line 2 is not JSON: "),
        (b'{"a": 1}\n\n{"a": NaN}\n', "line 3 is not JSON: NaN is not a JSON value, write null"),
        (b'{"a": 1}\n[2]\n', "line 2 holds list, expected an object"),
        (b'{"a": 1}{"a": 2}\n', "line 1 is not JSON: "),
        (b'{"a": 1}\n{"a": true}\n', "column 'a' holds a number in line 1 and true or false in line 2"),
        (b'{"a": [1]}\n{"a": 3}\n', "column 'a' holds a list in line 1 and a number in line 2"),
        (b'{"a": "\xff"}\n', "line 1 is not JSON: "),
        (b'[{"a": 1}]', "the file is one JSON array; write one object a line"),
        (b"  \n", "the table is empty"),
        (b"", "the table is empty"),
        (b'{"a": ' + b"[" * 100_000, "line 1 is not JSON: "),
    ],
)
def test_lines_that_are_not_objects_are_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    assert refusal(tmp_path / "t.jsonl", content).startswith(sentence)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_a_file_that_was_cut_short_says_so(tmp_path: Path, kind: str) -> None:
    whole = written(kind)
    for length in (len(whole) // 2, len(whole) - 5):
        assert refusal(tmp_path / "t", whole[:length]).endswith("it may be damaged or cut short: write it anew")


def aborting() -> list[bytes]:
    """Make files whose readers ask for more memory than there is.

    Rust ends the process then.
    """
    frame = pl.DataFrame(
        {"x": [0.5 * row for row in range(200)], "y": [row if row % 3 else None for row in range(200)]}
    )
    parquet, arrow = io.BytesIO(), io.BytesIO()
    frame.write_parquet(parquet, statistics=False)
    frame.write_ipc(arrow, compression="zstd")
    negative = parquet.getvalue().replace(b"\x2c\x15\x90\x03", b"\x2c\x15\x9f\x03", 1)  # 200 values of a page: -208
    huge = bytearray(arrow.getvalue())
    bits = huge.index(b"\x19\0\0\0\0\0\0\0\x28\xb5\x2f\xfd")  # 200 bits that say what is null, and Zstandard's mark
    huge[bits + 7] = 7  # their length unpacked: 2^58 bytes more
    return [negative, bytes(huge)]


@pytest.mark.parametrize("content", aborting(), ids=["parquet", "arrow"])
def test_a_file_that_makes_the_reader_abort_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    said = refusal(tmp_path / "t", content)
    assert said.startswith("the file cannot be read as ")
    assert "breaks the reader down; it may be damaged or cut short: write it anew" in said
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PARE and more", "an encrypted Parquet file"),
        (b"FEA1 and more", "a Feather file of version 1; write version 2"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x80\x04\x95 pickled", "a Python pickle"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
        (b"<!DOCTYPE html><title>Log in</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS; fetch the file with git lfs pull"),
        (b"\xfd7zXZ\0 packed", "compressed with xz; unpack it first"),
        (b"0" * 257 + b"ustar" + b"0" * 200, "a tar archive; unpack it first"),
        (gzip.compress(b"0" * 257 + b"ustar" + b"0" * 200, mtime=0), "a tar archive; unpack it first"),
    ],
)
def test_kinds_that_are_not_read_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    said = refusal(tmp_path / "t.csv", content)
    assert said.startswith(f"the file is {words}")
    assert said.endswith("a table is read from CSV, Parquet, Arrow (Feather) or JSON lines")


def test_a_workbook_is_named_and_not_taken_for_an_archive_of_tables(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("[Content_Types].xml", "")
        file.writestr("xl/workbook.xml", "")
    assert "a workbook of Excel" in refusal(tmp_path / "t.xlsx", archive.getvalue())


def test_a_kind_that_the_configuration_says_and_the_file_is_not(tmp_path: Path) -> None:
    said = refusal(tmp_path / "t", written("parquet"), format="csv")
    assert said == "the file is parquet, and data.format says 'csv'; set it to 'auto'"
    assert refusal(tmp_path / "t", json.dumps([1]).encode(), format="parquet").startswith(
        "the file cannot be read as P"
    )
