"""The training table, scored: answers are those that training gave, for every kind of column."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")

from batch.job import Columns
from batch.local import score_here
from batch.score import Request, score
from tests.support.made_models import Made, barren_tables_rejected, make
from tests.support.made_tables import MadeTable, made_tables

EVERYTHING = Columns({"given": "y"}, gates=True, top_expert=True, contributions=3)


def scored(folder: Path, columns: Columns = EVERYTHING, path: str = "table") -> pl.DataFrame:
    """Score a table beside a model; the answers in the order of its rows."""
    request = Request(folder / "model.onnx", (str(folder / path),), folder / "scored", columns, part_rows=17)
    summary = score(request, score_here, lambda line: None, lambda rows, done: lambda more: None)
    answers: pl.DataFrame = pl.read_parquet(folder / "scored" / "part-*.parquet")
    assert answers["row"].to_list() == list(range(1, summary.rows + 1))
    return answers


def lists(column: pl.Series) -> Any:
    return np.array(column.to_list(), np.float32)


def check_as_trained(folder: Path, made: Made, tasks: Sequence[str], columns: Columns = EVERYTHING) -> pl.DataFrame:
    """Compare answers with torch's; returns them in the order of the splits."""
    expected, exact = (made.trained_answers(m) for m in (None, copy.deepcopy(made.module).double()))
    answers: pl.DataFrame = scored(folder, columns)[made.order]
    for name in tasks:
        noise = float(np.abs(expected[name] - exact[name]).max())  # of float32, for values far beyond training rows
        np.testing.assert_allclose(lists(answers[name]), expected[name], rtol=1e-5, atol=1e-5 + 4.0 * noise)
    return answers


@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # seconds each
@given(made=made_tables())
def test_any_training_table_scores_to_the_answers_of_training(
    tmp_path_factory: pytest.TempPathFactory, made: MadeTable
) -> None:
    folder = tmp_path_factory.mktemp("made")
    with barren_tables_rejected():
        model = make(folder, made.frame, made.parquet, data=made.data, features=made.features)
    answers = check_as_trained(folder, model, ["y"], Columns({"given": "y"}))
    assert answers["given"].to_list() == made.frame["y"][model.order].to_list()


def shop(rows: int = 80) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "z": [row % 11 + 0.5 for row in range(rows)],
            "colour": [("red", "green", None)[row % 3] for row in range(rows)],
            "click": [row % 2 for row in range(rows)],
            "buy": [row // 2 % 2 if row % 2 else None for row in range(rows)],
            "y": [row % 7 for row in range(rows)],
            "size": ["SML"[row % 3] for row in range(rows)],
        }
    )


FUNNEL = [
    {"name": "click", "column": "click", "kind": "binary"},
    {"name": "buy", "column": "buy", "kind": "binary", "after": "click"},
    {"name": "paid", "column": "y", "kind": "regression"},
    {"name": "size", "column": "size", "kind": "multiclass"},
]


@pytest.mark.parametrize(
    "model", [{"architecture": "mmoe", "experts": 3}, {"architecture": "cgc", "experts": 2, "own_experts": 1}]
)
def test_conditionals_gates_and_contributions_are_those_of_the_network(tmp_path: Path, model: dict[str, Any]) -> None:
    made = make(tmp_path, shop(), tasks=FUNNEL, model=model)
    expected = made.trained_answers()
    answers = check_as_trained(tmp_path, made, ["click", "buy", "paid", "size", "buy.given.click"])
    np.testing.assert_allclose(answers["buy"], answers["click"] * answers["buy.given.click"], rtol=1e-5)
    classes = np.array(made.predictor.manifest.tasks[3].classes)
    assert answers["size.class"].to_list() == classes[expected["size"].argmax(axis=1)].tolist()
    features = np.array(made.predictor.manifest.feature_names)
    for place, task in enumerate(made.predictor.manifest.task_names):
        weights, top = lists(answers[f"gate_weights.{task}"]), answers[f"top_expert.{task}"].to_numpy()
        np.testing.assert_allclose(weights, expected["gate_weights"][:, place], atol=1e-5)
        assert (weights[np.arange(len(top)), top] == weights.max(axis=1)).all()
        for row, cells in enumerate(answers[f"contributions.{task}"]):
            shares = expected["gate_contributions"][row, place, top[row]]
            named = [int(np.flatnonzero(features == cell["feature"])[0]) for cell in cells]
            found = [cell["contribution"] for cell in cells]
            np.testing.assert_allclose(found, shares[named], atol=1e-5)
            np.testing.assert_allclose(np.abs(found), np.sort(np.abs(shares))[::-1][: len(found)], atol=1e-5)
            assert len(set(named)) == min(3, len(features))


def test_a_model_without_gates_gives_predictions_alone(tmp_path: Path) -> None:
    made = make(tmp_path, shop(), model={"architecture": "shared_bottom"})
    answers = check_as_trained(tmp_path, made, ["y"], Columns())
    assert answers.columns == ["row", "y"]
