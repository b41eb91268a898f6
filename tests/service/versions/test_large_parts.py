"""Large parts of a model in the run directory: one copy for all workers, none of the file."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.artifact.abridge import MOST_LISTED_VALUES
from service.engine import Engine
from service.inference.features import Batch
from service.inference.lean_model import LEAN, MODEL
from service.settings import Settings
from service.versions.checker import CheckLimits
from service.versions.proven import ProvenFiles
from tests.support.checker_targets import crash, have_no_room
from tests.support.hand_weights import HandWeights, raw_rows
from tests.support.large_model import MANY, TABLE_ROWS, large_weights, write_large_model


@pytest.fixture(scope="module")
def weights() -> HandWeights:
    return large_weights(MANY, TABLE_ROWS)


@pytest.fixture
def path(tmp_path: Path, weights: HandWeights) -> Path:
    return write_large_model(tmp_path / "models", weights)


def test_they_are_taken_out_once_for_all_workers_and_go_with_the_version(
    tmp_path: Path, path: Path, weights: HandWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.versions.proven.KEPT_S", 0.0)
    limits = CheckLimits(timeout_s=1e-9)
    numeric, categorical = raw_rows(weights, 9, seed=3)
    with contextlib.closing(ProvenFiles(tmp_path, 64)) as first:
        models = [first.load(path, "large")]
        with contextlib.closing(ProvenFiles(tmp_path, 64, limits, target=crash)) as second:
            models.append(second.load(path, "large"))
            (folder,) = (tmp_path / "prepared").glob("*/")
            assert not any(model.is_unshared for model in models)
            assert (folder / LEAN).exists()
            assert not (folder / MODEL).exists(), "the whole file is not kept beside its parts"
            path.unlink()
            for model in models:
                prices = model.run(Batch(numeric, categorical, 9)).tasks["price"]
                np.testing.assert_allclose(prices, weights.answer(numeric, categorical)["price"], rtol=1e-4, atol=1e-5)
            del model
            models.clear()
            for _ in range(3):
                second.tidy()
            assert not folder.exists()


def test_without_room_for_them_the_model_is_served_all_the_same(
    tmp_path: Path, path: Path, weights: HandWeights
) -> None:
    with contextlib.closing(ProvenFiles(tmp_path, 64, target=have_no_room)) as proven:
        model = proven.load(path, "large")
    assert model.is_unshared
    (folder,) = (tmp_path / "prepared").glob("*/")
    assert {file.name for file in folder.iterdir()} == {MODEL, "about.json"}
    numeric, categorical = raw_rows(weights, 9, seed=3)
    prices = model.run(Batch(numeric, categorical, 9)).tasks["price"]
    np.testing.assert_allclose(prices, weights.answer(numeric, categorical)["price"], rtol=1e-4, atol=1e-5)


def test_an_operator_is_told_of_parts_that_are_not_shared(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(ProvenFiles(tmp_path, 64, target=have_no_room)) as proven:
        engine = Engine(Settings(models=path.parents[2]))
        with contextlib.closing(engine):
            engine.catalogue.open = proven.load
            engine.catalogue.scan()
            (state,) = engine.models()
    expected = "each worker has a copy of its large parts, for which the run directory has no room"
    assert (state.served, state.note) == (1, expected)
    assert [record.getMessage() for record in caplog.records if expected in record.getMessage()]


def test_metadata_lists_a_long_vocabulary_in_part(start_service: Callable[..., Any], path: Path) -> None:
    with start_service(path.parents[2]) as service, httpx.Client(base_url=service.url) as client:
        features = client.get("/v1/models/large/metadata").json()["features"]
        row = dict.fromkeys((feature["name"] for feature in features), 1)
        refused = client.post("/v1/models/large:predict", json={"instances": [row]})
    short, long = features[-2:]
    assert (len(short["vocabulary"]), short["vocabulary_size"]) == (3, None)
    assert (len(long["vocabulary"]), long["vocabulary_size"]) == (MOST_LISTED_VALUES, MANY)
    assert refused.status_code == 422
    assert [error["feature"] for error in refused.json()["errors"]] == ["colour", "city"]


@pytest.mark.parametrize("workers", [1, 2])
def test_truncating_the_published_file_ends_no_worker(
    start_service: Callable[..., Any], path: Path, weights: HandWeights, workers: int
) -> None:
    numeric, categorical = raw_rows(weights, 400, seed=3)
    assert numeric is not None
    assert categorical is not None
    rows = np.nan_to_num(numeric).tolist()
    instances = [[*numbers, *texts] for numbers, texts in zip(rows, categorical.tolist(), strict=True)]
    expected = weights.answer(np.array(rows), categorical)["price"]
    settings = {"workers": str(workers), "poll_interval_s": "0.1"}
    with start_service(path.parents[2], **settings) as service, httpx.Client(base_url=service.url) as client:
        for turn in range(40):
            if turn == 5:
                with path.open("r+b") as file:
                    file.truncate(100)
            some = instances[10 * turn : 10 * turn + 10]
            answer = client.post("/v1/models/large:predict", json={"instances": some})
            assert answer.status_code == 200
            came = [row["tasks"]["price"] for row in answer.json()["predictions"]]
            np.testing.assert_allclose(came, expected[10 * turn : 10 * turn + 10], rtol=1e-4, atol=1e-5)
        assert client.post("/v1/models/large:gates", json={"instances": some}).status_code == 200
        while client.get("/v1/models/large").json()["versions"][0]["reason"] is None:  # it looks every 0.1 s
            assert client.post("/v1/models/large:predict", json={"instances": some}).status_code == 200
        assert not [line for line in service.log() if "ended with status" in line]
