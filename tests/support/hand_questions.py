"""Questions for a hand-made model, each with the closed form of its answer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.testing import assert_allclose

from tests.support.hand_weights import CLASSES, HandWeights, raw_rows
from tests.support.load import Question, post


def predictions(model: str, versions: Mapping[int, HandWeights], rows: int = 1, count: int = 32) -> list[Question]:
    """Make questions of so many rows each to `:predict`.

    Their checks know which version must answer what.

    Args:
        model: its name.
        versions: the weights of each version that may answer; any other is wrong. All have the
            same features.
        rows: of each question.
        count: of questions.
    """
    return [_question(model, versions, rows, seed) for seed in range(count)]


def _question(model: str, versions: Mapping[int, HandWeights], rows: int, seed: int) -> Question:
    first = next(iter(versions.values()))
    numeric, categorical = raw_rows(first, rows, seed)
    assert numeric is not None
    texts = categorical if categorical is not None else np.empty((rows, 0), object)
    names = [*first.names, *first.vocabularies]
    numbers = [[None if np.isnan(v) else float(v) for v in row] for row in numeric]
    instances = [dict(zip(names, [*a, *b], strict=True)) for a, b in zip(numbers, texts, strict=True)]
    expected = {version: weights.answer(numeric, categorical) for version, weights in versions.items()}

    def check(body: bytes) -> None:
        answer = orjson.loads(body)
        assert answer["model"] == model
        outputs = expected[answer["version"]]
        assert len(answer["predictions"]) == rows
        _check_rows(first, outputs, answer["predictions"])

    return post(f"/v1/models/{model}:predict", {"instances": instances}, check, rows)


def _check_rows(weights: HandWeights, expected: dict[str, Any], predictions: list[dict[str, Any]]) -> None:
    assert all(list(one) == ["tasks", "gate_weights"] for one in predictions)
    assert all(list(part) == list(weights.tasks) for one in predictions for part in one.values())
    for t, task in enumerate(weights.tasks):
        values = [one["tasks"][task] for one in predictions]
        found = [[v[name] for name in CLASSES[task]] if isinstance(v, dict) else v for v in values]
        assert_allclose(found, expected[task], rtol=1e-4, atol=1e-4)
        gate_weights = [one["gate_weights"][task] for one in predictions]
        assert_allclose(gate_weights, expected["gate_weights"][:, t], atol=1e-5)
