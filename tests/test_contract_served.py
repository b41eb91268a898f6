"""Train tiny -> export -> the service answers raw rows as torch does."""

import asyncio
import gzip
import os
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="trains a model: needs the trainer's packages")

import torch

from model.artifact.export import export
from model.artifact.serving_module import serve
from model.config.run import load_config
from model.data.table import read_dataset
from model.network.inputs import Inputs, inputs_of
from model.network.model import build_model, predict
from model.schema import FIRST_VALUE, MISSING
from model.training.train import fit
from service.engine import Engine
from service.http.app import create_app
from service.inference.features import FeatureReader
from service.inference.predictor import Predictor
from service.settings import Settings
from tables.config import TableData

if TYPE_CHECKING:
    from tests.conftest import Artifact

ARCHITECTURES = ["mmoe", "omoe", "shared_bottom", "single_task"]
TASKS = ["price", "sold", "grade"]
Array = NDArray[Any]


def instances_of(artifact: "Artifact", rows: int) -> list[dict[str, object]]:
    """Write test rows as a client would: by name, a missing value left out or null."""
    test, names = artifact.dataset.test, artifact.dataset.features.names
    instances: list[dict[str, object]] = []
    for row in range(rows):
        values = [None if np.isnan(value) else float(value) for value in test.numeric[row]]
        row_of = dict(zip(names, [*values, *(text or None for text in test.text[row])], strict=True))
        instances.append({name: value for name, value in row_of.items() if value is not None or row % 2})
    return instances


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_predictor_of_the_service_answers_as_torch_does(
    train_and_export: Callable[[str], "Artifact"], architecture: str
) -> None:
    artifact = train_and_export(architecture)
    predictor = Predictor.load(artifact.path / "model.onnx")
    reader = FeatureReader(predictor.manifest, max_rows=1000)
    rows = 100
    got = predictor.run(reader.from_instances(instances_of(artifact, rows)))
    expected = predict(artifact.model, artifact.dataset.test, gates=True)
    for name, answers in expected.tasks.items():
        np.testing.assert_allclose(got.tasks[name], answers[:rows], rtol=1e-5, atol=1e-5)
    assert (got.gate_weights is None) == (expected.gate_weights is None)
    if got.gate_weights is not None and expected.gate_weights is not None:
        np.testing.assert_allclose(got.gate_weights, expected.gate_weights[:rows], atol=1e-5)


def test_ablation_of_the_service_is_torch_without_that_expert(artifact: "Artifact") -> None:
    predictor = Predictor.load(artifact.path / "model.onnx")
    batch = FeatureReader(predictor.manifest, max_rows=1000).from_instances(instances_of(artifact, 7))
    got = predictor.ablate(batch)
    module = serve(artifact.model, artifact.dataset)
    inputs = inputs_of(artifact.dataset.test, slice(7))
    for expert in range(4):
        mask = np.ones(4, dtype=np.float32)
        mask[expert] = 0.0
        expected = module.answer(inputs, expert_mask=mask)
        for name in TASKS:
            np.testing.assert_allclose(got[name][expert], expected[name], rtol=1e-5, atol=1e-5)


def ask(models_dir: Path, path: str, body: dict[str, object]) -> dict[str, Any]:
    """Post to the whole application in this process."""

    async def post() -> httpx.Response:
        engine = Engine(Settings(models=models_dir, log_requests="off"))
        try:
            engine.catalogue.scan()
            transport = httpx.ASGITransport(app=create_app(engine))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.post(path, json=body)
        finally:
            engine.close()

    response = asyncio.run(post())
    assert response.status_code == 200, response.text
    answer = response.json()
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_application_answers_raw_rows_as_torch_does(
    train_and_export: Callable[[str], "Artifact"], architecture: str
) -> None:
    artifact, rows = train_and_export(architecture), 50
    expected = predict(artifact.model, artifact.dataset.test, gates=True)
    call = f"/v1/models/{artifact.config.name}:predict"
    answer = ask(artifact.models_dir, call, {"instances": instances_of(artifact, rows)})
    assert answer["model"] == artifact.config.name
    assert len(answer["predictions"]) == rows
    for row, prediction in enumerate(answer["predictions"]):
        for name, answers in expected.tasks.items():
            np.testing.assert_allclose(prediction["tasks"][name], answers[row], rtol=1e-5, atol=1e-5)
        if expected.gate_weights is None:
            assert prediction["gate_weights"] is None
            continue
        for index, name in enumerate(TASKS):
            weights = prediction["gate_weights"][name]
            np.testing.assert_allclose(weights, expected.gate_weights[row, index], atol=1e-5)
            assert sum(weights) == pytest.approx(1.0, abs=1e-5)


def test_application_answers_columns_as_it_answers_rows(artifact: "Artifact") -> None:
    instances, call = instances_of(artifact, 20), f"/v1/models/{artifact.config.name}:predict"
    columns = {name: [row.get(name) for row in instances] for name in artifact.dataset.features.names}
    by_row = ask(artifact.models_dir, call, {"instances": instances})["predictions"]
    by_column = ask(artifact.models_dir, call, {"inputs": columns})["outputs"]
    for name in TASKS:
        assert by_column["tasks"][name] == [row["tasks"][name] for row in by_row]
        assert by_column["gate_weights"][name] == [row["gate_weights"][name] for row in by_row]


def test_blanks_beside_a_value_are_ignored_as_the_reader_of_the_table_does(artifact: "Artifact") -> None:
    predictor = Predictor.load(artifact.path / "model.onnx")
    assert predictor.manifest.category_text.strip
    reader = FeatureReader(predictor.manifest, max_rows=10)
    sent = (["red", "Oslo"], [" red", "\tOslo\u3000 "]), (["red", ""], ["red \n", " ?"]), (["", ""], ["  ", " "])
    for plain, blank in sent:
        expected = predictor.run(reader.from_instances([[40, 70.0, *plain]]))
        got = predictor.run(reader.from_instances([[40, 70.0, *blank]]))
        for name in TASKS:
            np.testing.assert_array_equal(got.tasks[name], expected.tasks[name])


def test_examples_of_the_document_run(artifact: "Artifact", capfd: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "artifact.md").read_text(encoding="utf-8")
    run, left_out = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, Any] = {"path": str(artifact.path / "model.onnx")}
    exec(run, names)
    assert set(names["answer"]) == {*TASKS, "gate_weights"}
    exec(left_out, names)
    weights = dict(zip(names["names"], names["without"], strict=True))["gate_weights"]
    assert (weights[..., 0] == 0).all()
    assert (weights[..., 1:] > 0).all()
    came = capfd.readouterr()
    assert came.out.strip()
    assert came.err == ""


@pytest.mark.data
def test_lines_of_the_census_file_are_answered_as_torch_does(tmp_path: Path) -> None:
    """Send fields as they stand in the file, blanks and question marks included.

    One epoch is enough to be wrong.
    """
    data = os.environ.get("MMOE_DATA", "")
    if not (Path(data) / "census").is_dir():
        pytest.skip("MMOE_DATA names no directory that holds census/")
    configs = Path(__file__).parent.parent / "scripts" / "configs"
    config = load_config(configs / "census_income.toml", ["train.epochs=1", "train.batch_size=4096"])
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    history = fit(model, dataset, config.train)
    path = export(model, dataset, config, history, tmp_path)
    assert isinstance(config.data, TableData)
    with gzip.open(Path(data) / config.data.paths[0], "rt", encoding="utf-8") as file:
        lines = [
            dict(zip(config.data.columns, line.rstrip("\n").split(","), strict=True)) for line in islice(file, 500)
        ]
    numbers, categories = dataset.features.numeric, dataset.features.categorical
    instances = [
        {f.name: float(line[f.name]) for f in numbers} | {f.name: line[f.name] for f in categories} for line in lines
    ]
    numeric = np.array([[row[f.name] for f in numbers] for row in instances], dtype=np.float32)
    known_codes = [{"?": MISSING} | {v: c for c, v in enumerate(f.vocabulary, FIRST_VALUE)} for f in categories]
    codes = [
        [known.get(line[f.name].strip(), 0) for known, f in zip(known_codes, categories, strict=True)] for line in lines
    ]
    expected = serve(model, dataset).answer(Inputs(torch.from_numpy(numeric), torch.tensor(codes)))
    answer = ask(tmp_path, f"/v1/models/{config.name}:predict", {"instances": instances})
    assert path.parent.name == config.name
    for task in dataset.tasks:
        got = [row["tasks"][task.name] for row in answer["predictions"]]
        np.testing.assert_allclose(got, expected[task.name], atol=1e-5)
