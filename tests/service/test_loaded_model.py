"""One loaded model version; what it answers is tested through the engine."""

from collections.abc import Callable
from pathlib import Path

from service.loaded_model import measured_inline_rows
from service.predictor import Predictor


def test_runs_that_take_long_leave_the_loop(tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    predictor = Predictor.load(hand_model(tmp_path, "hand"))
    assert measured_inline_rows(predictor, 256, budget_s=1000.0) == 256
    assert measured_inline_rows(predictor, 0) == 0
    assert measured_inline_rows(predictor, 256, budget_s=0.0) == 0
