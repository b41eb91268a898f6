"""Files of folders and patterns, and the partitions that folders name."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tables.config import TableData
from tables.errors import DataError
from tables.files.paths import find_files
from tables.source import read_table


def data(path: Any) -> TableData:
    return TableData.model_validate({"kind": "table", "path": path})


@pytest.fixture
def clicks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a folder of partitions, with what programs leave beside the files."""
    monkeypatch.setenv("MMOE_DATA", str(tmp_path))
    root = tmp_path / "clicks"
    for day in ("2026-10-31", "2026-11-01", "2026-11-02"):
        folder = root / f"day={day}" / "country=C%C3%B4te%20d'Ivoire"
        folder.mkdir(parents=True)
        for part in ("part-1", "part-0"):
            pl.DataFrame({"from": [f"{day} {part}"], "x": [1]}).write_parquet(folder / f"{part}.parquet")
        (folder / "._part-0.parquet").write_text("of a Macintosh")
        (folder / "_SUCCESS").touch()
    (root / "_temporary").mkdir()
    (root / "_temporary" / "half.parquet").write_text("half")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "half.parquet").write_text("half")
    (root / "README.md").write_text("of people")
    return root


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("clicks", ["10-31/0", "10-31/1", "11-01/0", "11-01/1", "11-02/0", "11-02/1"]),
        ("clicks/", ["10-31/0", "10-31/1", "11-01/0", "11-01/1", "11-02/0", "11-02/1"]),
        ("clicks/day=2026-11-*/*/*.parquet", ["11-01/0", "11-01/1", "11-02/0", "11-02/1"]),
        ("clicks/day=2026-11-*", ["11-01/0", "11-01/1", "11-02/0", "11-02/1"]),
        ("clicks/**/part-0.parquet", ["10-31/0", "11-01/0", "11-02/0"]),
        ("clicks/**/*.parquet", ["10-31/0", "10-31/1", "11-01/0", "11-01/1", "11-02/0", "11-02/1"]),
        ("clicks/day=2026-11-0[2]/*/part-?.parquet", ["11-02/0", "11-02/1"]),
        (["clicks/day=2026-11-02", "clicks/day=2026-10-31/*/part-1*", "clicks/day=2026-11-02"],
         ["10-31/1", "11-02/0", "11-02/1"]),
    ],
)  # fmt: skip
def test_a_path_names_files_in_order_and_folders_name_columns(clicks: Path, path: Any, names: list[str]) -> None:
    found = find_files(data(path))
    assert [f"{file.path.parts[-3][9:]}/{file.path.stem[-1]}" for file in found] == names
    assert {file.partitions[0] for file in found} == {("day", file.path.parts[-3][4:]) for file in found}
    frame = read_table(data(path))[0].frame
    assert frame.columns == ["from", "x", "day", "country"]
    assert frame["from"].to_list() == [f"2026-{name[:5]} part-{name[-1]}" for name in names]
    assert frame["day"].to_list() == [f"2026-{name[:5]}" for name in names]
    assert set(frame["country"]) == {"C\u00f4te d'Ivoire"}


def test_names_are_below_what_files_have_in_common(clicks: Path) -> None:
    names = [file.name for file in find_files(data("clicks/day=2026-11-01"))]
    assert names == ["part-0.parquet", "part-1.parquet"]
    assert find_files(data("clicks"))[0].name == "day=2026-10-31/country=C%C3%B4te%20d'Ivoire/part-0.parquet"


def test_a_partition_without_a_value_is_missing(clicks: Path) -> None:
    (clicks / "day=2026-11-02").rename(clicks / "day=__HIVE_DEFAULT_PARTITION__")
    assert read_table(data("clicks"))[0].frame["day"].null_count() == 2


def test_a_file_by_itself_has_no_partitions(clicks: Path) -> None:
    path = next((clicks / "day=2026-11-01").rglob("part-0.parquet"))
    assert read_table(data(str(path)))[0].frame.columns == ["from", "x"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").write_text("a,b\n1,2\n")
    assert read_table(data(str(tmp_path / "a[1].csv")))[0].frame.rows() == [("1", "2")]


def test_a_partition_that_is_a_column_too_is_refused(clicks: Path) -> None:
    for path in list(clicks.rglob("part-*.parquet")):
        pl.DataFrame({"day": [1], "x": [1]}).write_parquet(path)
    with pytest.raises(DataError, match="the folder names a column 'day', and the file has one of that name too"):
        read_table(data("clicks"))


def test_folders_of_two_kinds_are_refused(clicks: Path) -> None:
    (clicks / "late.parquet").write_bytes(next(clicks.rglob("part-0.parquet")).read_bytes())
    with pytest.raises(DataError, match=r"late\.parquet: its folders name the partitions none, and those of .* 'day'"):
        find_files(data("clicks"))


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("clicks/*.csv", r"clicks/\*\.csv: no file matches this pattern; set data\.path, or MMOE_DATA"),
        ("none", "No such file or directory; set data.path, or MMOE_DATA"),
        (["clicks", "none"], "none: the table cannot be read: No such file or directory"),
        ("bare", r"bare: the folder holds no file whose name ends as that of a table \(\.csv"),
    ],
)
def test_a_path_without_files_says_so(clicks: Path, path: Any, sentence: str) -> None:
    (clicks.parent / "bare").mkdir()
    (clicks.parent / "bare" / "part-0").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=sentence):
        read_table(data(path))
    assert read_table(data("bare/part-*"))[0].frame.rows() == [("1", "2")]
