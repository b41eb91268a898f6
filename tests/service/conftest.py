"""Hand-made models, whose answers have a closed form."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.hand_model import write_model
from tests.support.hand_weights import make_weights, raw_rows


@pytest.fixture(scope="session")
def hand_model() -> Callable[..., Path]:
    """Write a hand-made model: `hand_model(directory, name, version, **variations)`.

    See `write_model`.
    """
    return write_model


@pytest.fixture(scope="session")
def hand_weights() -> Callable[..., Any]:
    """Give the weights of a hand-made model: `hand_weights(kind, ...)`.

    Its `answer` is the oracle.
    """
    return make_weights


@pytest.fixture(scope="session")
def hand_rows() -> Callable[..., Any]:
    """Draw raw rows for such weights.

    `hand_rows(weights, rows, seed)` -> (numeric, categorical).
    """
    return raw_rows


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Path:
    """Write the models that the shared service serves.

    `hand` (versions 1 and 2), `wide`, `plain`.
    """
    root = tmp_path_factory.mktemp("models")
    hand_model(root, "hand", 1)
    hand_model(root, "hand", 2, seed=5)
    hand_model(root, "wide", 1, kind="wide", tasks=("price", "sold"))
    hand_model(root, "plain", 1, kind="plain")
    return root
