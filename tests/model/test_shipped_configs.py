"""Shipped configs on the real tables: rows and shares as the paper and the authors have."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.config.run import load_config
from model.data.table import read_dataset
from model.schema import Dataset

pytestmark = pytest.mark.data
CONFIGS = Path(__file__).parents[2] / "scripts" / "configs"


def read(name: str, file: str) -> Dataset:
    directory = os.environ.get("MMOE_DATA")
    if directory is None or not (Path(directory) / file).exists():
        pytest.skip(f"set MMOE_DATA to the directory that holds {file}")
    return read_dataset(load_config(CONFIGS / f"{name}.toml"))


def all_labels(dataset: Dataset) -> NDArray[np.float32]:
    return np.concatenate([dataset.train.labels, dataset.validation.labels, dataset.test.labels])


@pytest.mark.parametrize(("pair", "pearson"), [("income", 0.1768), ("education", 0.2373)])
def test_census_tasks_correlate_as_the_paper_says(pair: str, pearson: float) -> None:
    dataset = read(f"census_{pair}", "census/census-income.test.gz")
    labels = all_labels(dataset)
    assert abs(np.asarray(np.corrcoef(labels.T))[0, 1]) == pytest.approx(pearson, abs=0.01)
    assert len(labels) == 99_762
    assert len(dataset.test) == round(0.2 * 99_762)


@pytest.mark.parametrize("pair", ["income", "education"])
def test_census_inputs_hold_no_label_and_no_weight(pair: str) -> None:
    dataset = read(f"census_{pair}", "census/census-income.test.gz")
    assert len(dataset.features.numeric) == 7
    assert len(dataset.features.categorical) == 31
    assert not {"education", "marital_status", "income", "instance_weight"} & set(dataset.features.names)
    state = next(f for f in dataset.features.categorical if f.name == "previous_state")
    assert "?" not in state.vocabulary
    assert state.missing_share > 0


def test_hotel_is_split_by_arrival_and_no_input_tells_the_answer() -> None:
    dataset = read("hotel", "hotel/hotel_bookings.csv.zip")
    labels = all_labels(dataset)
    assert len(labels) == 119_388  # all but the two rates that are none
    assert [task.kind for task in dataset.tasks] == ["binary", "regression", "binary"]
    assert 0 <= labels[:, 1].min() < labels[:, 1].max() < 1000
    assert not {"reservation_status", "reservation_status_date", "arrival_date_year"} & set(dataset.features.names)
    agent = next(f for f in dataset.features.categorical if f.name == "agent")
    assert "9" in agent.vocabulary
    assert "NULL" not in agent.vocabulary
    place = [feature.name for feature in dataset.features.categorical].index("arrival_date_month")
    assert set(dataset.test.text[:, place]) <= {"April", "May", "June", "July", "August"}  # of 2017, the table's last
