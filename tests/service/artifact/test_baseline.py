"""Baselines of features and predictions: sound ones are read, others refused."""

import json

import pytest
from pydantic import ValidationError

from service.artifact.baseline import FeatureBaseline, PredictionBaseline
from service.inference.reading.hashing import murmur3_32
from tests.support.murmur import murmur3


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"edges": [1.0, 2.0], "shares": [0.5, 0.5]}, "2 shares; expected 3"),
        ({"values": ["a"], "shares": [0.5, 0.5]}, "2 shares; expected 1"),
        ({"edges": [2.0, 1.0], "shares": [0.5, 0.25, 0.25]}, "edges must increase"),
        ({"shares": [0.5, 0.25], "missing": 0.1}, "sum to 0.85"),
        ({"shares": [1.5]}, "less than or equal to 1"),
    ],
)
def test_cells_of_a_feature_that_contradict_each_other_are_refused(entry: object, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        FeatureBaseline.model_validate_json(json.dumps(entry))


def test_the_tail_stands_behind_the_shares() -> None:
    number = FeatureBaseline(edges=(1.0,), shares=(0.4, 0.3), below=0.1, above=0.15, missing=0.05)
    assert number.cells == (0.4, 0.3, 0.1, 0.15, 0.05)
    text = FeatureBaseline(values=("a",), shares=(0.4,), other=0.3, unknown=0.2, missing=0.1)
    assert text.cells == (0.4, 0.3, 0.2, 0.1)


@pytest.mark.parametrize(
    "entry",
    [
        {"shares": (1.0,)},
        {"edges": (0.5,), "shares": (1.0,)},
        {"classes": (0, 1), "shares": (1.0,)},
        {"edges": (), "classes": (0,), "shares": (1.0,)},
    ],
)
def test_cells_of_a_prediction_are_bins_or_classes(entry: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="either edges with one share more, or classes with as many shares"):
        PredictionBaseline.model_validate(entry)


@pytest.mark.parametrize("text", ["", "a", "ab", "abc", "abcd", "u-17", "é" * 40, "日本語", "x" * 501])
@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_ids_are_hashed_as_in_the_graph(text: str, seed: int) -> None:
    assert murmur3_32(text.encode(), seed) == murmur3(text.encode(), seed)
