"""An answer is cut by rows, and tells which of them hold no finite number."""

import numpy as np
import pytest

from service.inference.answer import Answer


@pytest.fixture
def answer() -> Answer:
    """Make an answer of four rows whose numbers tell where they come from."""
    tasks = {"price": np.arange(4, dtype=np.float32), "grade": np.arange(12, dtype=np.float32).reshape(4, 3)}
    return Answer(tasks, np.arange(24, dtype=np.float32).reshape(4, 2, 3))


def test_a_slice_has_its_rows_of_every_array_and_copies_none(answer: Answer) -> None:
    part = answer.slice(1, 3)
    assert list(part.tasks) == ["price", "grade"]
    assert part.contributions is None
    for cut, whole in zip(part.arrays(), answer.arrays(), strict=True):
        np.testing.assert_array_equal(cut, whole[1:3])
        assert np.shares_memory(cut, whole)


def test_what_is_not_there_is_no_array(answer: Answer) -> None:
    assert len(answer.arrays()) == 3
    assert len(answer._replace(gate_weights=None).arrays()) == 2
    assert answer._replace(gate_weights=None).slice(0, 1).gate_weights is None
    assert len(answer._replace(contributions=np.zeros((4, 2, 3, 5), np.float32)).arrays()) == 4


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_found_in_any_array(answer: Answer, wrong: float) -> None:
    assert answer.rows_not_finite() == []
    answer.tasks["grade"][3, 1] = wrong
    assert answer.gate_weights is not None
    answer.gate_weights[0, 1, 2] = wrong
    assert answer.rows_not_finite() == [0, 3]
