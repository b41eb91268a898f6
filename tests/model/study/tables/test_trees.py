import pytest

from model.schema import Dataset
from model.study.tables import trees


@pytest.fixture(autouse=True)
def lightgbm() -> None:
    if trees.why_missing():
        pytest.skip(trees.why_missing())


def test_every_task_is_measured_on_the_test_rows(dataset: Dataset) -> None:
    found = trees.measure(dataset)
    assert set(found) == {task.name for task in dataset.tasks}
    assert trees.measure(dataset) == found
