"""Answers of the client beside the closed form of a hand-made model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from mmoe_client import Prediction


def assert_right(answer: Prediction, expected: Mapping[str, Any], rows: int) -> None:
    """Compare every task's values and gate weights."""
    assert answer.rows == rows
    for name, values in answer.tasks.items():
        assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)
    assert answer.gate_weights is not None
    gates = np.stack(list(answer.gate_weights.values()), axis=1)
    assert_allclose(gates, expected["gate_weights"], rtol=1e-4, atol=1e-5)
