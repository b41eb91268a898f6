"""A new user's first day: census served, a thousand real rows sent, then one segment alone."""

import csv
import gzip
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="trains a model: needs the trainer's packages")

from model.artifact.export import export
from model.config.run import load_config
from model.data.table import read_dataset
from model.network.model import build_model
from model.training.train import fit
from tables.config import TableData
from tests.support.metrics import awaited
from tests.support.server import running

ROWS = 1000


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)


def jensen_shannon(p: Any, q: Any) -> float:
    middle = (p + q) / 2
    return float(sum(0.5 * np.sum(x[x > 0] * np.log2(x[x > 0] / middle[x > 0])) for x in (p, q)))


@pytest.fixture
def census(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Train on the census table.

    Returns the directory of models and the file's rows as a client would send them.
    """
    data = os.environ.get("MMOE_DATA", "")
    if not (Path(data) / "census").is_dir():
        pytest.skip("MMOE_DATA names no directory that holds census/")
    configs = Path(__file__).parent.parent / "scripts" / "configs"
    config = load_config(configs / "census_income.toml", ["train.epochs=2"])
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    export(model, dataset, config, fit(model, dataset, config.train), tmp_path)
    assert isinstance(config.data, TableData)
    columns, numbers = config.data.columns, {f.name for f in dataset.features.numeric}
    with gzip.open(Path(data) / config.data.paths[0], "rt", encoding="utf-8") as file:
        lines = [dict(zip(columns, line, strict=True)) for line in csv.reader(file, skipinitialspace=True)]
    names = dataset.features.names
    return tmp_path, [{n: float(line[n]) if n in numbers else line[n] for n in names} for line in lines]


def check(report: dict[str, Any], weights: NDArray[Any]) -> None:
    """Compare a report with the gate weights of all rows so far, (B, T, E)."""
    assert report["rows"] == len(weights)
    for t, task in enumerate(report["task_names"]):
        now, then = report["tasks"][task], np.array(report["baseline"]["tasks"][task]["utilisation"])
        mean = weights[:, t].mean(axis=0)
        np.testing.assert_allclose(now["utilisation"], mean, atol=1e-6)
        assert now["drift"]["jensen_shannon"] == pytest.approx(jensen_shannon(mean, then), abs=1e-6)


def report_of(url: str, rows: int) -> Any:
    """Read the report of all traffic once it holds so many rows.

    Each worker publishes once a second.
    """
    path = f"{url}/v1/gates?window=5m"
    awaited(lambda: ask(path)["rows"], rows)
    return ask(path)


@pytest.mark.data
def test_young_people_alone_shift_the_gates_and_the_figures_are_those_of_numpy(
    census: tuple[Path, list[dict[str, Any]]],
) -> None:
    models, rows = census
    young = [row for row in rows[ROWS:] if row["age"] < 20]
    seen: list[Any] = []
    levels: list[set[str]] = []
    with running(models, workers="2") as service:
        for segment in (rows, young):
            for start in range(0, ROWS, 100):
                answer = ask(f"{service.url}/v1/predict", {"instances": segment[start : start + 100]})
                seen += [list(row["gate_weights"].values()) for row in answer["predictions"]]
            report = report_of(service.url, len(seen))
            check(report, np.array(seen))
            levels.append({task["drift"]["level"] for task in report["tasks"].values()})
    assert not levels[0] & {"moderate", "major"}, "a thousand rows of the same table are not a drift"
    assert levels[1] & {"moderate", "major"}
