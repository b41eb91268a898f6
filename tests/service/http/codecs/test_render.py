"""Answers as bytes: valid JSON, the same for every way rows may share a run, names of any kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.http.codecs.render import Renderer
from service.inference.answer import Answer, RunResult, RunSlice


@pytest.fixture
def manifest(tmp_path: Path, hand_model: Callable[..., Path]) -> Manifest:
    return read_model(hand_model(tmp_path, "hand"))[1]


def answer(rows: int, gates: bool = True, seed: int = 0) -> Answer:
    random = np.random.default_rng(seed)
    tasks: dict[str, Any] = {
        "price": random.normal(0, 1e6, rows).astype(np.float32),
        "sold": random.random(rows).astype(np.float32) * np.float32(1e-12),
        "grade": random.random((rows, 3)).astype(np.float32),
    }
    return Answer(tasks, random.random((rows, 3, 4)).astype(np.float32) if gates else None)


def expected(given: Answer, row: int) -> dict[str, Any]:
    weights = None
    if given.gate_weights is not None:
        weights = {task: given.gate_weights[row, t].tolist() for t, task in enumerate(given.tasks)}
    return {"tasks": {task: values[row].tolist() for task, values in given.tasks.items()}, "gate_weights": weights}


def as_float32(value: Any) -> Any:
    """Turn every float into the float32 it was printed from."""
    if isinstance(value, dict):
        return {key: as_float32(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_float32(inner) for inner in value]
    return float(np.float32(value)) if isinstance(value, float) else value


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_rows(manifest: Manifest, rows: int, gates: bool) -> None:
    if not gates:
        manifest = manifest.model_copy(update={"gates": None, "architecture": "shared_bottom", "experts": 0})
    given = answer(rows, gates)
    body = json.loads(Renderer("hand", 3, manifest).rows(RunSlice(RunResult(given, rows), 0, rows)))
    assert (body["model"], body["version"]) == ("hand", 3)
    assert as_float32(body["predictions"]) == [expected(given, row) for row in range(rows)]


def test_parts_of_a_run_are_rendered_once_and_apart(manifest: Manifest) -> None:
    renderer, given = Renderer("hand", 1, manifest), answer(6)
    run = RunResult(given, 6)
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        body = json.loads(renderer.rows(RunSlice(run, start, stop)))
        assert as_float32(body["predictions"]) == [expected(given, row) for row in range(start, stop)]
    rendered = run.rendered
    renderer.rows(RunSlice(run, 0, 6))
    assert run.rendered is rendered


def test_columns(manifest: Manifest) -> None:
    given = answer(5)
    body = json.loads(Renderer("hand", 1, manifest).columns(RunSlice(RunResult(given, 5), 1, 4)))
    assert given.gate_weights is not None
    assert as_float32(body["outputs"]) == {
        "tasks": {task: values[1:4].tolist() for task, values in given.tasks.items()},
        "gate_weights": {task: given.gate_weights[1:4, t].tolist() for t, task in enumerate(given.tasks)},
    }


def test_names_of_any_kind(tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    odd = ['50% "off"\n', "größe", "%s%b", "a\\b"]
    manifest = read_model(hand_model(tmp_path, "hand", tasks=("price", "sold")))[1]
    for first, second in zip(odd, odd[1:] + odd[:1], strict=True):
        tasks = tuple(
            task.model_copy(update={"name": name}) for task, name in zip(manifest.tasks, (first, second), strict=True)
        )
        renamed = manifest.model_copy(update={"tasks": tasks})
        values = answer(2)
        given = Answer(
            {first: values.tasks["price"], second: values.tasks["sold"]},
            values.gate_weights[:, :2].copy() if values.gate_weights is not None else None,
        )
        renderer = Renderer("hand", 1, renamed)
        for stop in (1, 2):
            body = json.loads(renderer.rows(RunSlice(RunResult(given.slice(0, stop), stop), 0, stop)))
            assert as_float32(body["predictions"]) == [expected(given, row) for row in range(stop)]
