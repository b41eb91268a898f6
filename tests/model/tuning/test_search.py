from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from model.config.run import Config, load_config
from model.data.table import read_dataset
from model.schema import Dataset
from model.tuning.search import OUT_OF_TIME, Budget, Tuner, relative_loss
from tables.errors import UserError

CONFIG = """
name = "searched"
[data]
kind = "synthetic"
rows = 400
dims = 4
[[tasks]]
name = "task_1"
column = "y_1"
kind = "regression"
[[tasks]]
name = "task_2"
column = "y_2"
kind = "regression"
[train]
epochs = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG)
    return path


def with_other_test_rows(config: Config) -> Dataset:
    """Read the table with test labels that nobody can predict."""
    dataset = read_dataset(config)
    return replace(dataset, test=replace(dataset.test, labels=np.full_like(dataset.test.labels, np.nan)))


def tuner(config: Path, storage: Path, said: list[str] | None = None) -> Tuner:
    heard = [] if said is None else said
    return Tuner(lambda changes: load_config(config, changes), read_dataset, storage, heard.append)


def test_a_search_goes_on_where_it_was(config: Path, tmp_path: Path) -> None:
    said: list[str] = []
    tuner(config, tmp_path / "t.db", said).run(Budget(trials=2, minutes=5))
    assert len(said) == 2
    further = tuner(config, tmp_path / "t.db", said)
    further.run(Budget(trials=3, minutes=5))
    assert [trial.number for trial in further.study.trials] == [0, 1, 2]
    assert said[2].startswith("trial 2")
    best, trial = further.best()
    assert trial.value == min(t.value for t in further.study.trials if t.value is not None)
    assert load_config(config, trial.user_attrs["assignments"]) == best


def test_the_first_trial_is_the_file_as_it_is(config: Path, tmp_path: Path) -> None:
    searched = tuner(config, tmp_path / "t.db")
    searched.run(Budget(trials=1, minutes=5))
    assert searched.best()[0] == load_config(config)


def test_test_rows_are_never_looked_at(config: Path, tmp_path: Path) -> None:
    values = []
    for place, read in enumerate((read_dataset, with_other_test_rows)):
        searched = Tuner(
            lambda changes: load_config(config, changes), read, tmp_path / f"{place}.db", lambda line: None
        )
        searched.run(Budget(trials=1, minutes=5))
        values.append(searched.study.best_value)
    assert values[0] == values[1]


def test_another_configuration_is_another_search(config: Path, tmp_path: Path) -> None:
    tuner(config, tmp_path / "t.db").run(Budget(trials=1, minutes=5))
    config.write_text(CONFIG.replace("epochs = 2", "epochs = 1"))
    assert tuner(config, tmp_path / "t.db").study.trials == []


def test_a_budget_without_a_finished_trial_is_a_sentence(config: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not one trial has finished"):
        tuner(config, tmp_path / "t.db").run(Budget(trials=0, minutes=1e-9))


def test_a_trial_that_runs_out_of_time_is_ended_at_its_epoch(config: Path, tmp_path: Path) -> None:
    config.write_text(CONFIG.replace("epochs = 2", "epochs = 1000\npatience = 0"))
    searched = tuner(config, tmp_path / "t.db")
    with pytest.raises(UserError, match="not one trial has finished"):
        searched.run(Budget(trials=0, minutes=0.02))
    assert [trial.state for trial in searched.study.trials] == [optuna.trial.TrialState.PRUNED]
    assert OUT_OF_TIME in searched.study.trials[0].user_attrs  # it was not worse than others


def test_relative_loss_weighs_tasks_of_any_scale_alike() -> None:
    constant = {"income": {"log_loss": 0.5, "auc": 0.5}, "price": {"rmse": 1000.0}}
    assert relative_loss({"income": {"log_loss": 0.25}, "price": {"rmse": 500.0}}, constant) == 0.375
    assert relative_loss(constant, constant) == 1.0
    with pytest.raises(UserError, match="define no task's loss"):
        relative_loss({"income": {}}, constant)
