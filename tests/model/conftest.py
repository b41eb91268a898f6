import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch

from model.schema import CategoricalFeature, Dataset, FeatureSchema, NumericFeature, Rows, Task


def make_schema() -> FeatureSchema:
    return FeatureSchema(
        numeric=(
            NumericFeature("age", 40.0, 10.0, 20.0, 60.0, missing_share=0.1, bin_edges=(20.0, 30.0, 40.0, 60.0)),
            NumericFeature("hours", 5.0, 2.0, 0.0, 10.0, bin_edges=(0.0, 4.0, 6.0, 10.0)),
        ),
        categorical=(
            CategoricalFeature("colour", ("red", "green", "blue"), missing_share=0.1),
            CategoricalFeature("shape", ("round", "square")),
        ),
    )


def make_tasks() -> tuple[Task, ...]:
    return (
        Task("price", "regression", mean=100.0, std=20.0),
        Task("sold", "binary", ("no", "yes")),
        Task("grade", "multiclass", ("a", "b", "c")),
    )


def make_rows(schema: FeatureSchema, count: int, seed: int) -> Rows:
    """Draw rows whose three labels follow from the features.

    Some features and some labels are missing.
    """
    random = np.random.default_rng(seed)
    numeric = np.column_stack([random.uniform(f.minimum, f.maximum, count) for f in schema.numeric])
    codes = np.column_stack([random.integers(1 if f.missing_share else 2, f.codes, count) for f in schema.categorical])
    hidden = (numeric[:, 0] - 40.0) / 10.0 + codes[:, 0] - 3.0
    labels = np.column_stack([100.0 + 10.0 * hidden, hidden > 0.0, np.digitize(hidden, [-1.0, 1.0])])
    numeric[random.random(count) < 0.1, 0] = np.nan
    labels[random.random(count) < 0.2, 1] = np.nan
    names = [("", "", *f.vocabulary) for f in schema.categorical]
    text = np.array([[names[c][code] for c, code in enumerate(row)] for row in codes], dtype=object)
    return Rows(numeric.astype(np.float32), codes.astype(np.int64), labels.astype(np.float64), text)


@pytest.fixture
def little_room() -> Callable[[int], AbstractContextManager[None]]:
    """Let no file grow beyond some bytes meanwhile, as on a full disk."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Set torch to one thread.

    With more, small operations wait for each other on a busy machine.
    """
    torch.set_num_threads(1)


@pytest.fixture
def schema() -> FeatureSchema:
    return make_schema()


@pytest.fixture
def tasks() -> tuple[Task, ...]:
    """Return one task of each kind."""
    return make_tasks()


@pytest.fixture
def rows(schema: FeatureSchema) -> Callable[..., Rows]:
    def make(count: int = 64, seed: int = 0) -> Rows:
        return make_rows(schema, count, seed)

    return make


@pytest.fixture
def dataset(schema: FeatureSchema, tasks: tuple[Task, ...]) -> Dataset:
    train, validation, test = (make_rows(schema, count, seed) for seed, count in enumerate((300, 100, 100)))
    return Dataset(schema, tasks, train, validation, test, source="made", digest="sha256:0")
