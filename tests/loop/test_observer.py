"""Labels that a step of the canary begins with, from real logs."""

from pathlib import Path

import numpy as np

from loop.config import LoopConfig
from loop.home import Home
from loop.observer import Observer
from loop.record import Record
from loop.state import State, write_state
from tests.batch.quality.logs_made import START, label, prediction, write
from tests.support.hand_model import write_model


def test_a_step_that_another_run_enters_begins_with_the_labels_there_are(tmp_path: Path) -> None:
    for version in (1, 2):
        write_model(tmp_path / "models", "hand", version)
    random = np.random.default_rng(0)
    rows = [prediction(number, random) for number in range(30)]
    labels = [label(row, 60, sold=float(number % 2)) for number, row in enumerate(rows)]
    logs = write(tmp_path / "predictions", rows), write(tmp_path / "labels", labels)
    config = LoopConfig.model_validate(
        {
            "models": str(tmp_path / "models"),
            "model": "hand",
            "services": {"urls": ["http://127.0.0.1:9"]},
            "labels": {"predictions": [str(logs[0])], "labels": [str(logs[1])]},
        }
    )
    write_state(tmp_path, State(stage="canary", step=1, served=1, candidate=2, canary_began=START - 1))
    record = Record(tmp_path, lambda _: None, dry=False)  # of a run that has read no labels yet
    observer = Observer(config, Home(config.models, "hand", None), record)
    assert observer.begun(first=False).labelled["sold"] == 30
    assert observer.begun(first=True).labelled == {}
