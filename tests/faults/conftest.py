"""A hand-made model on disk, and questions whose answers are known."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.hand_model import write_model
from tests.support.hand_questions import predictions
from tests.support.hand_weights import make_weights
from tests.support.load import Question


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Write version 1 of the model `hand`; return the directory of models."""
    write_model(tmp_path / "models", "hand", 1)
    return tmp_path / "models"


@pytest.fixture
def at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give a function that has every Python process started from now on run a code first."""

    def write(code: str) -> None:
        place = tmp_path / "python"
        place.mkdir()
        (place / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(place))

    return write


@pytest.fixture
def questions() -> Callable[..., list[Question]]:
    """Give a function that makes questions to that version, of so many rows each.

    `questions(rows=64)`.
    """
    return lambda rows=1, count=32: predictions("hand", {1: make_weights()}, rows, count)
