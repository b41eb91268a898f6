import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tables.config import TableData
from tables.errors import DataError
from tables.files.paths import locate
from tables.source import Table, read_table

CSV = b"name,size\nred, 1\n green ,2\n"


def table(path: Path, content: bytes, **settings: Any) -> Table:
    path.write_bytes(content)
    return read_table(TableData(kind="table", path=str(path), **settings))[0]


def refusal(path: Path, content: bytes, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        table(path, content, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def zipped(**members: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()


def parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        gzip.compress(CSV, mtime=0),
        zipped(table=CSV),
        b"\xef\xbb\xbf" + CSV,
        CSV.replace(b"\n", b"\r\n"),
        parquet(pl.DataFrame({"name": ["red", "green "], "size": [" 1", "2"]})),
    ],
    ids=["plain", "gzip", "zip", "byte order mark", "carriage returns", "parquet"],
)
def test_the_same_table_comes_out_of_every_wrapping(tmp_path: Path, content: bytes) -> None:
    assert table(tmp_path / "t", content).frame.rows() == [("red", "1"), ("green", "2")]


def test_columns_are_named_by_the_header_or_by_the_configuration(tmp_path: Path) -> None:
    assert table(tmp_path / "t", CSV).frame.columns == ["name", "size"]
    assert table(tmp_path / "t", CSV, columns=("a", "b")).frame.rows() == [("red", "1"), ("green", "2")]
    bare = table(tmp_path / "t", CSV, header=False, columns=("a", "b"))
    assert bare.frame.rows() == [("name", "size"), ("red", "1"), ("green", "2")]


def test_an_empty_last_value_or_line_is_no_short_row(tmp_path: Path) -> None:
    content = b"a,b\n1,\n,\n\n2,3\n\n"
    rows = [("1", None), (None, None), (None, None), ("2", "3"), (None, None)]
    assert table(tmp_path / "t", content).frame.rows() == rows


def test_short_rows_are_filled_up_where_the_configuration_says_so(tmp_path: Path) -> None:
    read = table(tmp_path / "t", b"a,b,c\n1,2,3\n4\n", fill_short_rows=True)
    assert read.frame.rows() == [("1", "2", "3"), ("4", None, None)]


def test_separator_and_encoding_are_settings(tmp_path: Path) -> None:
    content = "näme;size\nrot;1\n".encode("latin-1")
    read = table(tmp_path / "t", content, separator=";", encoding="latin-1")
    assert read.frame.columns == ["näme", "size"]
    assert refusal(tmp_path / "t", content, separator=";").startswith("the text is not UTF-8")
    assert table(tmp_path / "t", CSV.decode().encode("utf-16"), encoding="utf-16").frame.columns == ["name", "size"]


def test_quoted_values_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    assert table(tmp_path / "t", b'a,b\n"x,1","y\nz"\n').frame.rows() == [("x,1", "y\nz")]


def test_parquet_keeps_its_types_and_nan_is_missing(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"a": [1.5, float("nan")], "b": [True, None], "c": pl.Series(["x", " ? "], dtype=pl.Categorical)}
    )
    read = table(tmp_path / "t", parquet(frame), missing=("?",))
    assert read.frame.rows() == [(1.5, True, "x"), (None, None, None)]


@pytest.mark.parametrize(
    ("content", "settings", "sentence"),
    [
        (b"", {}, "the table is empty"),
        (b"a,b\n", {}, "the table has no rows"),
        (b"a,b,a\n1,2,3\n", {}, "two columns are named 'a'"),
        (b"a,,c\n1,2,3\n", {}, "column 2 has no name"),
        (CSV, {"columns": ("a", "b", "c")}, "the table has 2 columns and data.columns names 3"),
        (CSV, {"columns": ("a", "a")}, "two columns are named 'a'"),
        (b"a,b\n1,2\n1,2,3\n", {}, "row 2 has 3 values where the first line has 2"),
        (b"a,b\n1,2\n3\n", {}, "row 2 has 1 values where the first line has 2 (line 3); mend it, or set data.fill_sh"),
        (b'\xef\xbb\xbf"a,b",c\n"x,\n\n",\n\n3\n', {}, "row 3 has 1 values where the first line has 2"),
        (b"1,2\n3\n", {"header": False, "columns": ("a", "b")}, "row 2 has 1 values"),
        (b"a;b\n1;2\n", {}, "the table has a single column, 'a;b'; is data.separator right?"),
        (b"a,b\r1,2\r", {}, "the lines end in a bare carriage return"),
        (CSV.decode().encode("utf-16"), {}, "the text is UTF-16 or holds zero bytes; set data.encoding"),
        (CSV.decode().encode("utf-16-be"), {}, "the text is UTF-16 or holds zero bytes; set data.encoding"),
        (b"a,b\n1,\xff\n", {}, "the text is not UTF-8 at byte 6, in row 1, column 2 'b' (line 2); set data.encoding"),
        (CSV, {"encoding": "utf-99"}, "the text cannot be read as data.encoding says"),
        (CSV, {"format": "parquet"}, "the file cannot be read as Parquet: "),
        (b"PAR1 and then not", {}, "the file cannot be read as Parquet: "),
        (gzip.compress(CSV, mtime=0)[:-9], {}, "the file cannot be unpacked"),
        (b"PK\x03\x04 and then not", {}, "the file cannot be unpacked"),
        (zipped(a=CSV, b=CSV), {}, "the archive holds a, b, expected exactly one table"),
        (zipped(), {}, "the archive holds nothing"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, settings: Any, sentence: str) -> None:
    assert refusal(tmp_path / "t", content, **settings).startswith(sentence)


def test_a_file_that_is_not_there_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file or directory; set data\.path, or MMOE_DATA"):
        read_table(TableData(kind="table", path=str(tmp_path / "none.csv")))


def test_relative_paths_start_at_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMOE_DATA", str(tmp_path))
    assert locate("a/b.csv") == tmp_path / "a" / "b.csv"
    assert locate("/a/b.csv") == Path("/a/b.csv")
    monkeypatch.delenv("MMOE_DATA")
    assert locate("a/b.csv") == Path("a/b.csv")


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(CSV)
    digest = read_table(TableData(kind="table", path=str(tmp_path / "t")))[1]
    assert digest.startswith("sha256:")
    (tmp_path / "t").write_bytes(CSV + b"blue,3\n")
    assert read_table(TableData(kind="table", path=str(tmp_path / "t")))[1] != digest
