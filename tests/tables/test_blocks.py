"""The same rows, however they are cut into files and row groups."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tables import blocks as blocks_module
from tables.blocks import BLOCK_ROWS, Files, blocks_of, open_table
from tables.config import TableData
from tables.errors import DataError
from tables.source import Table, read_table
from tests.support.text_blocks import LINUX, run_alone

ROWS = BLOCK_ROWS + 10_000
KINDS = ("parquet", "arrow", "csv", "jsonl")


def made(rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    numbers = pl.Series("n", rng.normal(size=rows).round(3))
    text = pl.Series("t", rng.choice(np.array([" a", "b ", "NA", "e\u0301", "\u00e9"]), rows))
    return pl.DataFrame([numbers, text, pl.Series("row", np.arange(1, rows + 1))])


def write(frame: pl.DataFrame, path: Path, kind: str = "parquet", row_group: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        frame.write_parquet(path, row_group_size=row_group)
    elif kind == "arrow":
        frame.write_ipc(path)
    elif kind == "csv":
        frame.write_csv(path)
    else:
        frame.write_ndjson(path)


def cut(frame: pl.DataFrame, folder: Path, files: int, kind: str = "parquet", row_group: int | None = None) -> Path:
    """Write a frame into files of uneven heights, one of them without a row."""
    ends = [0, *sorted(np.random.default_rng(files).integers(0, frame.height, files - 1).tolist()), frame.height]
    for number, (start, end) in enumerate(pairwise(ends)):
        write(frame[start:end], folder / f"part-{number:03}.{kind}", kind, row_group)
    if files > 1 and kind != "jsonl":
        write(frame.head(0), folder / f"part-{files:03}.{kind}", kind)
    return folder


def opened(path: Path | list[str], **settings: Any) -> Files:
    given = str(path) if isinstance(path, Path) else path
    return open_table(TableData.model_validate({"kind": "table", "path": given, **settings}))


def read(path: Path | list[str], **settings: Any) -> Table:
    given = str(path) if isinstance(path, Path) else path
    return read_table(TableData.model_validate({"kind": "table", "path": given, **settings}))[0]


def same(first: list[Table], second: list[Table]) -> bool:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.frame.equals(other.frame)
        assert one.frame.schema == other.frame.schema
        assert np.array_equal(one.row_numbers, other.row_numbers)
        assert one.not_available == other.not_available
        assert one.sample.equals(other.sample)
        assert np.array_equal(one.sample_rows, other.sample_rows)
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_do_not_depend_on_how_rows_are_cut(tmp_path: Path, kind: str) -> None:
    frame = made()
    expected = list(opened(cut(frame, tmp_path / "one", 1, kind)).blocks())
    assert [len(block) for block in expected] == [BLOCK_ROWS, ROWS - BLOCK_ROWS]
    for files, row_group in ((1, 7_000), (3, None), (40, 1_000)):
        folder = cut(frame, tmp_path / f"{files}-{row_group}", files, kind, row_group)
        table = opened(folder)
        assert table.rows == ROWS
        assert same(list(table.blocks()), expected)
    whole = read(tmp_path / "one")
    assert pl.concat([block.frame for block in expected]).equals(whole.frame)


def test_numbers_and_the_sample_count_over_the_whole_table(tmp_path: Path) -> None:
    first, second = opened(cut(made(), tmp_path, 3)).blocks()
    assert np.array_equal(np.concatenate([first.row_numbers, second.row_numbers]), np.arange(1, ROWS + 1))
    for block in (first, second):
        assert np.array_equal(block.frame["row"].to_numpy(), block.row_numbers)
        assert np.array_equal(block.sample["row"].to_numpy(), block.sample_rows)
        count, row = block.not_available["t"]
        missing = block.row_numbers[block.frame["t"].is_null().to_numpy()]
        assert (count, row) == (len(missing), missing[0])
    sampled = np.concatenate([first.sample_rows, second.sample_rows])
    assert np.isin(blocks_module.sample_rows(ROWS) + 1, sampled).all()


def test_columns_are_chosen_and_rows_begin_at_a_block(tmp_path: Path) -> None:
    table = opened(cut(made(), tmp_path, 3))
    (second,) = table.blocks(["row", "n"], BLOCK_ROWS)
    assert second.frame.columns == ["row", "n"]
    assert second.frame["row"][0] == second.row_numbers[0] == BLOCK_ROWS + 1
    with pytest.raises(ValueError, match="expected a multiple"):
        next(table.blocks(start_row=1))
    with pytest.raises(DataError, match="the table lacks the column 'rows'; did you mean 'row'"):
        next(table.blocks(["rows"]))


def test_frames_are_cut_anew_at_every_height() -> None:
    frame = pl.DataFrame({"a": range(10)})
    for sizes in ([10], [1] * 10, [0, 3, 0, 7], [4, 4, 2]):
        ends = np.cumsum([0, *sizes])
        pieces = (frame[int(a) : int(b)] for a, b in pairwise(ends))
        found = list(blocks_of(pieces, 4))
        assert [piece["a"].to_list() for piece in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_types_that_agree_are_joined(tmp_path: Path) -> None:
    write(pl.DataFrame({"a": [1, 2], "b": [None, None], "c": ["x", "y"]}), tmp_path / "1.parquet")
    write(pl.DataFrame({"c": ["z"], "a": [0.5], "b": [[1]]}), tmp_path / "2.parquet")
    table = read(tmp_path)
    assert table.frame.rows() == [(1.0, None, "x"), (2.0, None, "y"), (0.5, [1], "z")]
    assert opened(tmp_path).dtypes == {"a": pl.Float64, "b": pl.List(pl.Int64), "c": pl.String}


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ({"a": ["x"]}, "2.parquet: column 'a' holds String, and that of {1} holds Int64; write both in one type"),
        ({}, "2.parquet: the file lacks the column 'a', which {1} has"),
        ({"a": [1], "b": [2]}, "2.parquet: the file has a column 'b', which {1} lacks"),
    ],
)
def test_files_of_different_columns_are_refused(tmp_path: Path, second: Any, sentence: str) -> None:
    write(pl.DataFrame({"a": [1]}), tmp_path / "1.parquet")
    write(pl.DataFrame(second), tmp_path / "2.parquet")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert sentence.replace("{1}", str(tmp_path / "1.parquet")) in str(caught.value)


def test_files_of_two_kinds_are_refused(tmp_path: Path) -> None:
    write(made(3), tmp_path / "1.csv", "csv")
    write(made(3), tmp_path / "2.parquet")
    with pytest.raises(
        DataError, match=r"2\.parquet: the file is parquet, and .*1\.csv is csv; a table's files are of"
    ):
        opened(tmp_path)


def test_an_empty_file_among_others_is_noted(tmp_path: Path) -> None:
    cut(made(10), tmp_path, 2, "csv")
    (tmp_path / "part-005.csv").touch()
    assert read(tmp_path).notes == opened(tmp_path).notes == ("Left out: 1 empty file, such as part-005.csv.",)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="the table is empty"):
        opened(tmp_path)


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    frame = made(30)
    first, second = cut(frame, tmp_path / "x", 3), cut(frame, tmp_path / "y", 3)
    assert opened(first).digest() == opened(second).digest() == read_table(opened(first).data)[1]
    (second / "part-002.parquet").rename(second / "part-004.parquet")
    assert opened(first).digest() != opened(second).digest()
    single = first / "part-000.parquet"
    assert opened(single).digest() == read_table(TableData(kind="table", path=str(single)))[1]


def broken(content: bytes) -> bytes:
    """Damage the pages of a Parquet file, and leave what it says of itself whole."""
    footer = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    return content[:4] + bytes(value ^ 0x5A for value in content[4:footer]) + content[footer:]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_damaged_file_among_good_ones_is_named(tmp_path: Path, kind: str) -> None:
    cut(made(90), tmp_path, 3, kind)
    path = tmp_path / f"part-001.{kind}"
    content = path.read_bytes()
    path.write_bytes(broken(content) if kind == "parquet" else content[:-7] + b"\xff" + content[-6:])
    with pytest.raises(DataError) as caught:
        list(opened(tmp_path).blocks())
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=f"part-001.{kind}: "):
        read(tmp_path)


def test_a_file_that_changed_since_it_was_looked_at_is_refused(tmp_path: Path) -> None:
    cut(made(30), tmp_path, 3, "csv")
    table = opened(tmp_path)
    with (tmp_path / "part-001.csv").open("a") as file:
        file.write("1,2,3\n")
    with pytest.raises(DataError, match=r"part-001\.csv: the file has .* rows, and had .* before; it was changed"):
        list(table.blocks())


MEMORY = """
import sys
from tables.blocks import open_table
from tables.config import TableData
from tests.support.text_blocks import anonymous_mb

table = open_table(TableData(kind="table", path=sys.argv[1]))
start = peak = anonymous_mb()
for block in table.blocks():
    peak = max(peak, anonymous_mb())
print(peak - start)
"""


def grown(path: Path) -> float:
    """Measure the bytes by which anonymous memory grows while a table is read, at the most."""
    return float(run_alone(MEMORY, str(path))) * 2**20


def wide(rows: int, kind: str) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    if kind == "csv":  # short texts: sixteen bytes each in memory, three in the file
        return pl.DataFrame({f"n{i}": rng.integers(10, 99, rows) for i in range(16)})
    return pl.DataFrame({f"n{i}": rng.normal(size=rows) for i in range(16)})


@LINUX
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_table(tmp_path: Path, kind: str) -> None:
    for rows in (500_000, 2_000_000):
        write(wide(rows, kind), tmp_path / f"{rows}.{kind}", kind, 100_000)
    small, large = (grown(tmp_path / f"{rows}.{kind}") for rows in (500_000, 2_000_000))
    assert large < small + 100_000_000  # the large table has at least 192 MB more


@LINUX
def test_a_row_group_is_held_once_at_the_most(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(wide(2_000_000, "parquet"), path, "parquet", 2_000_000)
    assert grown(path) < 1.8 * path.stat().st_size  # what is decoded takes some more beside it; twice would be 2
