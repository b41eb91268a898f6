"""The command from a table to a published model whose answers are what the report says."""

import csv
import random
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from scripts.train import main

SETTINGS = ["train.device=cpu", "model.experts=2", "train.learning_rate=0.01"]


def write(path: Path, head: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


def configure(tmp_path: Path, *tasks: str, rest: str = "") -> str:
    sections = "".join(f"[[tasks]]\n{task}\n" for task in tasks)
    text = f"name = 'm'\n[data]\nkind = 'table'\npath = '{tmp_path / 'table.csv'}'\n{sections}{rest}"
    (tmp_path / "config.toml").write_text(text)
    return str(tmp_path / "config.toml")


def test_the_error_that_is_reported_is_that_of_the_served_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels are seconds since 1970.

    In float32 they would be alike, and the report would hide it.
    """
    draw = random.Random(1)
    rows = [[f"{x:.4f}", 1_700_000_000 + round(300 * x)] for x in (draw.gauss(0, 1) for _ in range(1500))]
    write(tmp_path / "table.csv", ["x", "ends_at"], [list(row) for row in rows])
    config = configure(tmp_path, "name = 'ends_at'\ncolumn = 'ends_at'\nkind = 'regression'")
    splits = tmp_path / "splits.csv"
    command = [config, "--models", str(tmp_path / "models"), "--write-splits", str(splits)]
    assert main([*command, "--set", *SETTINGS, "train.epochs=3"]) == 0
    out, err = capsys.readouterr()
    assert "Task 'ends_at': an answer near 17000" in err
    assert "which steps by 128 there" in err
    reported = float(next(line for line in out.splitlines() if line.startswith("ends_at")).split()[1])
    with splits.open() as file:
        test = [int(row["row"]) - 1 for row in csv.DictReader(file) if row["split"] == "test"]
    x = np.array([[float(str(rows[row][0]))] for row in test], np.float32)
    truth = np.array([float(str(rows[row][1])) for row in test])
    answers = served(tmp_path / "models" / "m" / "1" / "model.onnx", x)
    assert len(np.unique(answers)) > 4
    assert np.sqrt(np.mean((answers - truth) ** 2)) == pytest.approx(reported, rel=0.02)


def served(path: Path, numeric: NDArray[np.float32]) -> NDArray[np.float64]:
    """Answer as a server does, by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (answers,) = session.run(["ends_at"], {"numeric": numeric})
    return np.asarray(answers, np.float64)
