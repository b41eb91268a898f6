"""CSV as programs write it: read as the csv module reads it, or refused.

A refusal has file, row, column and key.
"""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.config import TableData
from tables.errors import DataError
from tables.source import read_table

cells = st.text(alphabet="ab1 ,;\"'\n\réΩ", max_size=5)
loose = st.text(alphabet='ab ,"\n', max_size=6)


def read(path: Path, content: bytes, **settings: Any) -> list[tuple[Any, ...]]:
    path.write_bytes(content)
    return read_table(TableData(kind="table", path=str(path), **settings))[0].frame.rows()


def refusal(path: Path, content: bytes, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, content, **settings)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=12), st.sampled_from([",", ";", "\t", "|"]))
def test_what_the_csv_module_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], separator: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([("a", "b", "c"), *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    found = read(path, text.getvalue().encode(), separator=separator, strip=False, missing_only=())
    assert [tuple(value or "" for value in row) for row in found] == rows


@given(st.lists(st.tuples(loose, loose), min_size=1, max_size=8))
def test_loose_quote_marks_are_read_as_the_csv_module_reads_them_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    text = "a,b\n" + "".join(f"{first},{second}\n" for first, second in rows)
    expected = list(csv.reader(io.StringIO(text, newline="")))[1:]
    path = tmp_path_factory.getbasetemp() / "loose.csv"
    try:
        found = read(path, text.encode(), strip=False, missing_only=(), fill_short_rows=True)
    except DataError:
        return
    if '"' in text:
        assert [[v or "" for v in row] for row in found] == [[*row, *[""] * (2 - len(row))] for row in expected]


def test_a_lone_inch_mark_is_named_with_its_row_and_the_key_that_makes_it_text(tmp_path: Path) -> None:
    lines = [f"{'pipe 6' + chr(34) + ' long' if row == 50 else 'pipe'},{row},{2 * row}" for row in range(300)]
    content = "\n".join(["part,x,y", *lines, ""]).encode()
    said = refusal(tmp_path / "t.csv", content)
    assert said.startswith("row 51, column 1 'part' (line 52) holds a quote mark that does not enclose a value")
    assert "data.quote to ''" in said
    found = read(tmp_path / "t.csv", content, quote="")
    assert len(found) == 300
    assert found[50] == ('pipe 6" long', "50", "100")


def test_two_lone_marks_do_not_swallow_the_rows_between_them(tmp_path: Path) -> None:
    content = b'a,b\n6" long,1\nx,2\n7" long,3\ny,4\n'
    assert refusal(tmp_path / "t", content).startswith("row 1, column 1 'a' (line 2) holds a quote mark")
    assert len(read(tmp_path / "t", content, quote="")) == 4
    assert refusal(tmp_path / "t", b'a,b\nx,"1\ny,2\n').startswith("row 1, column 2 'b' (line 2) holds a quote mark")


def test_marks_in_pairs_within_a_value_are_text_as_they_were(tmp_path: Path) -> None:
    assert read(tmp_path / "t", b'a,b\n6" x 8",1\n"x,y",2\n') == [('6" x 8"', "1"), ("x,y", "2")]


def test_another_quote_mark(tmp_path: Path) -> None:
    assert read(tmp_path / "t", b"a,b\n'x,y',\"1\n", quote="'") == [("x,y", '"1')]


@pytest.mark.parametrize("first", [b"sep=;\r\n", b"\xef\xbb\xbfsep=;\n", b'"sep=;"\r\n', b"SEP=;\n"])
@pytest.mark.parametrize("settings", [{}, {"separator": ";"}])
def test_the_line_by_which_excel_knows_the_separator(tmp_path: Path, first: bytes, settings: dict[str, Any]) -> None:
    assert read(tmp_path / "t", first + b"age;z\r\n1;0,5\r\n", **settings) == [("1", "0,5")]


def test_that_line_in_other_forms(tmp_path: Path) -> None:
    assert read(tmp_path / "t", b"sep=\t\nage\tz\n1\t2\n") == [("1", "2")]
    assert read(tmp_path / "t", "sep=;\r\nage;z\r\n1;2\r\n".encode("utf-16"), encoding="utf-16") == [("1", "2")]
    assert read(tmp_path / "t", b"sep=x,z\n1,2\n") == [("1", "2")]  # a column's name
    said = refusal(tmp_path / "t", b"sep=;\nage;z\n1;2\n", separator="|")
    assert said.startswith("the first line says that the separator is ';', and data.separator is '|'")


@pytest.mark.parametrize(
    ("content", "settings", "sentence"),
    [
        (b"a,b\n1,2\n3\x00,4\n", {}, "row 2, column 1 'a' (line 3) holds a zero byte"),
        (b"a,b\x00\n" + b"1,2\n" * 300, {}, "the header, column 2 (line 1) holds a zero byte"),
        ("a,b\n1,2\n".encode("utf-16-le"), {}, "the text is UTF-16 or holds zero bytes; set data.encoding"),
        ("a,b\n1,2\n".encode("utf-32"), {}, "the text is UTF-16 or holds zero bytes; set data.encoding"),
        (b'a,b\n"x\ny",2\n\xe9,4\n', {}, "the text is not UTF-8 at byte 12, in row 2, column 1 'a' (line 4); set data"),
        (b"a,b\n1,2\n", {"encoding": "zip"}, "the text cannot be read as data.encoding says: 'zip' is not a text enc"),
        (b"a,b\n1,2\n", {"encoding": "idna\0"}, "the text cannot be read as data.encoding says"),
        (b"a,b\n1,2\n", {"encoding": "undefined"}, "the text cannot be read as data.encoding says"),
        (b"a;b\n1;2\n", {}, "the table has a single column, 'a;b'; is data.separator right? Try ';'"),
        (b"a\tb\n1\t2\n", {}, "the table has a single column, 'a\\tb'; is data.separator right? Try \"\\t\""),
        (b"\xef\xbb\xbf", {}, "the table is empty"),
        (b"\n\n\n", {}, "the table"),
        (b"a,b\r\n", {}, "the table has no rows"),
        (b'a,b\n1,"x,\n2"\n"3\n3",4,5\n', {}, "row 2 has 3 values where the first line has 2 (line 5); is data.sep"),
    ],
)
def test_a_text_that_is_no_table_is_refused(
    tmp_path: Path, content: bytes, settings: dict[str, Any], sentence: str
) -> None:
    assert refusal(tmp_path / "t", content, **settings).startswith(sentence)


def test_line_ends_may_mix(tmp_path: Path) -> None:
    assert read(tmp_path / "t", b"a,b\r\n1,2\n3,4\r\n5,6") == [("1", "2"), ("3", "4"), ("5", "6")]


@pytest.mark.parametrize("sign", ["§", "\n", "\r"])
@pytest.mark.parametrize("key", ["separator", "quote"])
def test_signs_that_cannot_divide_values_are_refused(sign: str, key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} is .*, expected one ASCII character"):
        TableData(kind="table", path="t", **{key: sign})  # type: ignore[arg-type]


def test_separator_and_quote_differ() -> None:
    with pytest.raises(ValueError, match="'separator' and 'quote' are both ','; they must differ"):
        TableData(kind="table", path="t", quote=",")
