"""Models with large parts: the same answers from sessions that do not hold them."""

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact import detach
from service.artifact.abridge import MOST_LISTED_VALUES
from service.artifact.file import MANIFEST_KEY
from service.artifact.protobuf import metadata
from service.inference.features import Batch
from service.inference.lean_model import LEAN, MODEL, forget_stored, open_stored
from service.inference.predictor import Predictor
from tests.support.hand_weights import HandWeights, raw_rows, raw_times
from tests.support.large_model import MANY, TABLE_ROWS, inputs_of, large_weights, write_large_model

SIZES = [(2, TABLE_ROWS), (MANY, 0), (MANY, TABLE_ROWS)]


@pytest.fixture(scope="module", params=SIZES, ids=["table", "lookup", "both"])
def weights(request: pytest.FixtureRequest) -> HandWeights:
    values, rows = request.param
    return large_weights(values, rows)


@pytest.fixture(scope="module")
def path(weights: HandWeights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large_model(tmp_path_factory.mktemp("models"), weights)


@pytest.fixture(scope="module")
def folder(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("saved")
    Predictor.load(path, save=made)
    return made


def batch_of(weights: HandWeights, rows: int) -> Batch:
    numeric, categorical = raw_rows(weights, rows, seed=9)
    assert categorical is not None
    categorical[: rows // 2, 1] = [
        ["city 1", "São Paulo", "x" * 300, "nowhere", ""][row % 5] for row in range(rows // 2)
    ]
    return Batch(numeric, categorical, rows)


def assert_answers(predictor: Predictor, weights: HandWeights, rows: int) -> None:
    batch = batch_of(weights, rows)
    expected = weights.answer(batch.numeric, batch.categorical)
    usual, gates = predictor.run(batch), predictor.run(batch, frozenset({"gate_weights"}))
    explained = predictor.contributions(batch)
    for answer in (usual, explained):
        for task, values in answer.tasks.items():
            np.testing.assert_allclose(values, expected[task], rtol=1e-4, atol=1e-5)
    for answer in (usual, gates, explained):
        assert answer.gate_weights is not None
        np.testing.assert_allclose(answer.gate_weights, expected["gate_weights"], rtol=1e-4, atol=1e-5)
    assert explained.contributions is not None
    assert batch.numeric is not None
    np.testing.assert_allclose(explained.contributions, expected["gate_contributions"], rtol=1e-3, atol=1e-4)
    whole = batch._replace(numeric=np.nan_to_num(batch.numeric), complete=True)
    expected = weights.answer(whole.numeric, whole.categorical)
    np.testing.assert_allclose(predictor.run(whole).tasks["grade"], expected["grade"], rtol=1e-4, atol=1e-5)
    without = predictor.ablate(whole)["price"]
    for expert in range(4):
        mask = np.arange(4) != expert
        expected = weights.answer(whole.numeric, whole.categorical, mask)
        np.testing.assert_allclose(without[expert], expected["price"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 50, 2000])
def test_answers_are_those_of_the_file(path: Path, folder: Path, weights: HandWeights, rows: int) -> None:
    for predictor in (Predictor.load(path), Predictor.load_saved(folder, "large")):
        assert_answers(predictor, weights, rows)


def test_what_is_saved_opens_without_its_optimised_graphs(folder: Path, weights: HandWeights) -> None:
    for graph in folder.glob("*.ort"):
        graph.unlink()
    assert_answers(Predictor.load_saved(folder, "large"), weights, 7)


def test_sessions_hold_no_large_part(folder: Path, path: Path) -> None:
    lean = open_stored(folder)
    assert len(lean.model) < path.stat().st_size - (4 << 20) or not lean.tables
    inputs = inputs_of(lean.model)
    assert set(inputs) >= {*lean.tables, *(lookup.codes for lookup in lean.lookups)}
    assert ("categorical" in inputs) == (not lean.lookups)


def test_arrays_are_maps_of_files_that_nobody_may_write(folder: Path) -> None:
    lean = open_stored(folder)
    arrays = [*lean.tables.values(), *(array for lookup in lean.lookups for array in lookup.vocabulary)]
    assert arrays
    for array in arrays:
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base, mmap.mmap)
        assert not array.flags.writeable
        assert array.ctypes.data % 64 == 0
    assert all(file.stat().st_mode & 0o777 == 0o400 for file in folder.glob("*.npy"))


def test_maps_outlive_their_files(path: Path, weights: HandWeights, tmp_path: Path) -> None:
    Predictor.load(path, save=tmp_path)
    predictor = Predictor.load_saved(tmp_path, "large")
    forget_stored(tmp_path)
    assert not [*tmp_path.iterdir()]
    assert_answers(predictor, weights, 20)


def test_a_model_without_large_parts_is_left_as_it_is(hand_model: Callable[..., Path], tmp_path: Path) -> None:
    path = hand_model(tmp_path)
    predictor = Predictor.load(path, save=tmp_path)
    assert predictor._model == path.read_bytes()
    assert not (tmp_path / LEAN).exists()
    (tmp_path / MODEL).write_bytes(path.read_bytes())
    assert Predictor.load_saved(tmp_path, "hand").manifest == predictor.manifest


def test_a_long_vocabulary_is_listed_in_part(path: Path, folder: Path, weights: HandWeights) -> None:
    whole = [len(values) for values in weights.vocabularies.values()]
    loaded, saved = Predictor.load(path).manifest, Predictor.load_saved(folder, "large").manifest
    assert loaded == saved
    for feature, values, count in zip(saved.categorical, weights.vocabularies.values(), whole, strict=True):
        assert list(feature.vocabulary) == values[:MOST_LISTED_VALUES]
        assert feature.vocabulary_size == (count if count > MOST_LISTED_VALUES else None)
    assert len(metadata(open_stored(folder).model)[MANIFEST_KEY]) < 40 * MOST_LISTED_VALUES


@pytest.mark.parametrize("rows", [1, 40, 1100])
def test_features_of_every_kind_answer_alike_whatever_is_taken_out(
    hand_model: Callable[..., Path],
    hand_weights: Callable[..., HandWeights],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    path, weights = hand_model(tmp_path, kind="kinds"), hand_weights("kinds")
    numeric, categorical = raw_rows(weights, rows, seed=rows)
    times = raw_times(weights, rows, seed=rows)
    batch = Batch(numeric, categorical, rows, datetime=times)
    whole = Predictor.load(path).contributions(batch)
    monkeypatch.setattr(detach, "MANY_KEYS", 2)
    monkeypatch.setattr(detach, "LARGE_TABLE_BYTES", 64)
    monkeypatch.setattr(detach, "_KEY_BYTES", 0)
    (tmp_path / "saved").mkdir()
    Predictor.load(path, save=tmp_path / "saved")
    lean = open_stored(tmp_path / "saved")
    assert lean.tables
    assert len(lean.lookups) > 1
    assert lean.texts is not None, "a bag is split before it is looked up"
    came = Predictor.load_saved(tmp_path / "saved", "kinds").contributions(batch)
    for one, other in zip(came.arrays(), whole.arrays(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
