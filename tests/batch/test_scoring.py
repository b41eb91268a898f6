"""The command: a table in, a folder of parts out, and what it says of one that does not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")

from scripts.score import main
from tests.support.made_models import make

ROWS = 90
Score = Callable[..., int]


def made_frame(rows: int = ROWS) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"r{row}" for row in range(rows)],
            "x": [row % 13 - 3.5 for row in range(rows)],
            "colour": [("red", "green", "blue", None)[row % 4] for row in range(rows)],
            "at": [f"2026-11-{row % 28 + 1:02}T12:00:00Z" for row in range(rows)],
            "y": [row % 5 for row in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make versions 2 and 10 of a model."""
    models = tmp_path_factory.mktemp("models")
    for version in ("2", "10"):
        folder = models / "shop" / version
        folder.mkdir(parents=True)
        features = {"numeric": ["x"], "categorical": ["colour"], "datetime": {"at": ["weekday"]}, "rest": "drop"}
        make(folder, made_frame(), features=features, model={"experts": 2})
    return models


@pytest.fixture
def table(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    for place, start in enumerate((0, 31, 64)):
        stop = (31, 64, ROWS)[place]
        made_frame()[start:stop].write_parquet(folder / f"part-{place}.parquet")
    return folder


@pytest.fixture
def run(models: Path, table: Path, tmp_path: Path) -> Score:
    def score(*options: object, rows: object = table, output: str = "scored") -> int:
        command = [models / "shop", rows, tmp_path / output, "--processes", 1, "--part-rows", 20, *options]
        return main([str(one) for one in command])

    return score


def answers(folder: Path) -> pl.DataFrame:
    frame: pl.DataFrame = pl.read_parquet(folder / "part-*.parquet")
    return frame


def test_parts_hold_every_row_once_and_name_the_model(
    run: Score, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--keep", "id, label=y", "--gates") == 0
    out, err = capsys.readouterr()
    assert "Scored 90 rows into 5 parts" in out
    assert "shop" in err or "made version 10" in err
    assert "Ignored: 2 columns that the model does not read" not in err  # one of them is kept
    assert "90 of 90 rows (100 %)" in err
    found = answers(tmp_path / "scored")
    assert found.columns == ["row", "id", "label", "y", "gate_weights.y"]
    assert found["id"].to_list() == made_frame()["id"].to_list()
    assert found["label"].to_list() == made_frame()["y"].to_list()
    metadata = pl.read_parquet_metadata(tmp_path / "scored" / "part-000003.parquet")
    record = json.loads((tmp_path / "scored" / "_scoring.json").read_text())
    assert (metadata["mmoe.model"], metadata["mmoe.version"]) == ("made", "10")
    assert metadata["mmoe.digest"] == record["model"]["digest"]
    assert record["complete"] is True
    assert run("--processes", 1, output="again") == 0
    assert answers(tmp_path / "again").equals(found.select("row", "y"))


def test_columns_that_are_not_read_are_said(run: Score, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "Ignored: 2 columns that the model does not read: id, y." in capsys.readouterr().err


def test_text_and_parquet_and_processes_give_the_same(run: Score, tmp_path: Path, table: Path) -> None:
    made_frame()[:40].write_csv(tmp_path / "a.csv")
    made_frame()[40:].write_csv(tmp_path / "b.csv")
    assert run() == 0
    assert run(rows=tmp_path / "?.csv", output="text") == 0
    assert run("--processes", 2, output="two") == 0
    assert run("--part-rows", 7, rows=table / "part-*", output="small") == 0
    expected = answers(tmp_path / "scored")
    assert len(expected) == ROWS
    for other in ("text", "two", "small"):
        np.testing.assert_allclose(answers(tmp_path / other).to_numpy(), expected.to_numpy(), rtol=1e-6)


def test_a_whole_output_is_left_and_one_that_lacks_parts_gets_them(
    run: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    expected, parts = answers(tmp_path / "scored"), sorted((tmp_path / "scored").glob("part-*"))
    kept = {part: part.stat().st_mtime_ns for part in parts if part.name != "part-000002.parquet"}
    (tmp_path / "scored" / "part-000002.parquet").unlink()
    (tmp_path / "scored" / ".part-000002.parquet.7.tmp").write_bytes(b"half a part")
    capsys.readouterr()
    assert run() == 0
    assert "Going on: 4 of 5 parts are there." in capsys.readouterr().err
    assert {part: part.stat().st_mtime_ns for part in kept} == kept
    assert answers(tmp_path / "scored").equals(expected)
    assert not list((tmp_path / "scored").glob(".*.tmp"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gates"], "options gates true instead of"),
        (["--part-rows", "30"], "options part_rows 30 instead of"),
        (["--set", "missing=['red']"], "reading missing"),
    ],
)
def test_parts_of_another_run_are_refused_unless_restarted(
    run: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert run(*options) == 0
    assert run() == 2
    error = capsys.readouterr().err
    assert words in error
    assert "--restart" in error
    assert run("--restart") == 0
    assert len(answers(tmp_path / "scored")) == ROWS


def test_changed_rows_are_another_run(run: Score, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    made_frame()[64:].with_columns(x=pl.lit(0.25)).write_parquet(table / "part-2.parquet")
    assert run() == 2
    assert "input digest" in capsys.readouterr().err


def test_a_folder_of_other_files_is_left_alone(run: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scored").mkdir()
    (tmp_path / "scored" / "thesis.txt").write_text("years of work")
    assert run() == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert run("--restart") == 2
    assert (tmp_path / "scored" / "thesis.txt").read_text() == "years of work"


def bad_table(folder: Path) -> Path:
    """Write text with a bad number, a bad moment, both, and a number that is too large."""
    cells: dict[str, Any] = made_frame().to_dict(as_series=False)
    cells["x"] = [str(value) for value in cells["x"]]
    cells["x"][45], cells["at"][33], cells["x"][88] = "six", "soon", "1e39"
    cells["at"][45] = "never"
    frame = pl.DataFrame(cells)
    frame[:40].write_csv(folder / "bad-0.csv")
    frame[40:].write_csv(folder / "bad-1.csv")
    return folder / "bad-*.csv"


def test_a_bad_row_is_refused_with_file_row_and_feature(
    run: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(rows=bad_table(tmp_path)) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/bad-0.csv, row 34, feature 'at': 'soon': expected an ISO 8601 date" in error
    assert "--errors FILE" in error


@pytest.mark.parametrize("processes", [1, 2])
def test_bad_rows_are_set_aside(run: Score, tmp_path: Path, processes: int) -> None:
    bad, errors = bad_table(tmp_path), tmp_path / "errors.csv"
    assert run("--errors", errors, "--keep", "id", "--processes", processes, rows=bad) == 0
    aside = pl.read_csv(errors)
    assert aside.select("file", "row", "feature").rows() == [
        (f"{tmp_path}/bad-0.csv", 34, "at"),
        (f"{tmp_path}/bad-1.csv", 6, "at"),
        (f"{tmp_path}/bad-1.csv", 6, "x"),
        (f"{tmp_path}/bad-1.csv", 49, "x"),
    ]
    found = answers(tmp_path / "scored")
    assert found["id"].to_list() == [f"r{row}" for row in range(ROWS) if row not in (33, 45, 88)]
    assert run(output="sound") == 0
    sound = answers(tmp_path / "sound").filter(pl.col("row").is_in(found["row"].implode()))
    np.testing.assert_allclose(found["y"], sound["y"], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "rows", "words"),
    [
        (["--keep", "ids"], None, "lacks the column 'ids' of --keep; did you mean 'id'?"),
        (["--keep", "y"], None, "--keep y_given=y"),
        ([], pl.DataFrame({"x": [1.0], "color": ["red"], "at": ["2026-11-01"]}), "the model's feature; did you mean"),
        ([], pl.DataFrame({"x": [[1.0]], "colour": ["red"], "at": ["2026-11-01"]}), "column 'x' holds List(Float64)"),
        (["--set", "separater=;"], None, "data.separater"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    run: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], rows: Any, words: str
) -> None:
    given = {} if rows is None else {"rows": tmp_path / "other.parquet"}
    if rows is not None:
        rows.write_parquet(tmp_path / "other.parquet")
    assert run(*options, **given) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "scored").exists()


def test_there_must_be_a_model(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(table), str(tmp_path / "scored")]) == 2
    assert "no model there; expected" in capsys.readouterr().err
