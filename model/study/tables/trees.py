"""LightGBM on the same rows, a model per task: what a practitioner would set a network beside."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model.network.model import Predictions
from model.schema import Dataset, Rows
from model.training.metrics import evaluate

ROUNDS, PATIENCE, LEARNING_RATE = 2000, 50, 0.05
"""Trees at most, and how many without a gain on the validation rows end the training."""


def why_missing() -> str:
    """Return why LightGBM cannot be used here; nothing if it can."""
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        return "LightGBM is not installed; `pip install -e '.[train,study]'` brings it"
    except OSError as error:  # without the system's OpenMP
        return f"LightGBM does not start: {error}"
    return ""


def version() -> str:
    """Return the version of LightGBM, which must be installed."""
    import lightgbm

    return str(lightgbm.__version__)


def measure(dataset: Dataset) -> Mapping[str, Mapping[str, float]]:
    """Train for each task by itself, stop early on validation rows, and measure on the test rows.

    Returns:
        Metrics by task and name.
    """
    import lightgbm

    numbers = dataset.train.numeric.shape[1]
    categorical = list(range(numbers, numbers + dataset.train.codes.shape[1]))
    predicted: dict[str, NDArray[np.float32]] = {}
    for index, task in enumerate(dataset.tasks):
        settings = {
            "objective": task.kind,
            "learning_rate": LEARNING_RATE,
            "seed": 0,
            "deterministic": True,
            "num_threads": 1,
            "verbose": -1,
        }
        if task.kind == "multiclass":
            settings["num_class"] = len(task.classes)
        train = lightgbm.Dataset(*_labelled(dataset.train, index), categorical_feature=categorical)
        validation = lightgbm.Dataset(*_labelled(dataset.validation, index), reference=train)
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        trees = lightgbm.train(settings, train, ROUNDS, valid_sets=[validation], callbacks=[stop])
        predicted[task.name] = np.asarray(trees.predict(_columns(dataset.test)), dtype=np.float32)
    return evaluate(Predictions(predicted, None), dataset.test, dataset.tasks)


def _labelled(rows: Rows, task: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    labels = rows.labels[:, task]
    labelled = ~np.isnan(labels)
    return _columns(rows)[labelled], labels[labelled]


def _columns(rows: Rows) -> NDArray[np.float64]:
    return np.concatenate([rows.numeric, rows.codes], axis=1, dtype=np.float64)
