"""Logs judged by models in an object store: as by those of a directory."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scripts.evaluate import main
from tests.batch.quality.logs_made import label, prediction, write
from tests.support.hand_model import write_model
from tests.support.object_store import ObjectStore, object_store


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as one:
        yield one


def test_a_model_of_a_store_is_judged_as_one_of_a_directory(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "models", "hand", 2)
    store.put("hand/2/model.onnx", (tmp_path / "models/hand/2/model.onnx").read_bytes())
    store.put("hand/serving.json", b"{}")
    store.put("unfinished/1/claim.json", b"{}")
    random = np.random.default_rng(0)
    rows = [prediction(number, random) for number in range(200)]
    logs = ["--predictions", str(write(tmp_path / "predictions", rows))]
    logs += ["--labels", str(write(tmp_path / "labels", [label(row, 60, price=1.0) for row in rows]))]
    assert main([str(tmp_path / "models/*"), *logs, "--out", str(tmp_path / "here")]) == 0
    assert main([f"{store.url}/*", *logs, "--out", str(tmp_path / "there")]) == 0
    here, there = (json.loads((tmp_path / out / "hand/quality.json").read_text()) for out in ("here", "there"))
    assert {**here, "time_utc": ""} == {**there, "time_utc": ""}
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [".lock", "hand"]
    assert main([f"{store.url}/nobody", *logs, "--out", str(tmp_path / "there")]) == 2
    assert main([f"{store.url}/h*", *logs, "--out", str(tmp_path / "there")]) == 2
    said = capsys.readouterr().err
    assert f"the logs hold no prediction of a version of nobody in {store.url}/nobody" in said
    assert f"only all of a folder can be asked for: {store.url}/*" in said
