"""Candidate beside the served version: compared on chosen rows, never in the way."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.engine import Engine
from service.errors import ModelNotFound, VersionConflict
from service.inference.answer import RunResult, RunSlice
from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.run_directory import RunDirectory
from service.settings import Settings
from service.versions import serving_edits as edits
from service.versions.commands import VersionCommands
from service.versions.reconciler import Reconciler
from service.versions.serving_file import ServingFile
from service.versions.shadow import QUEUE_ROWS, rows_reader
from service.versions.shadows import Shadows

HandModel = Callable[..., Path]
ROWS = 40


@pytest.fixture
def engine(tmp_path: Path, hand_model: HandModel) -> Iterator[Engine]:
    """Serve version 1, with 2 and 3 on disk."""
    for version in (1, 2, 3):
        hand_model(tmp_path / "models", "hand", version, seed=version % 3)
    with RunDirectory.create(1, tmp_path / "memory") as directory:
        settings = Settings(models=tmp_path / "models")
        ServingFile.of(settings.models_directory, "hand").change(edits.pin(1), "the test")
        made = Engine(settings, shadows=Shadows(directory, 0))
        made.catalogue.scan()
        yield made
        made.close()


@pytest.fixture
def batch(hand_weights: Any, hand_rows: Any) -> Batch:
    numeric, categorical = hand_rows(hand_weights(), ROWS)
    return Batch(numeric, categorical, ROWS)


async def ask(engine: Engine, batch: Batch, times: int = 1) -> None:
    for _ in range(times):
        await engine.get().predict(batch, engine.clock(), 9.0)
        await asyncio.sleep(0)


async def compared(engine: Engine, rows: int) -> Any:
    """Wait until so many rows were compared."""
    while (figures := engine.catalogue.shadowed["hand"].tally.total()).rows < rows:
        await asyncio.sleep(0.005)
    return figures


def play(scenario: Any) -> Any:
    async def watched() -> Any:
        return await asyncio.wait_for(scenario, 60)

    return asyncio.run(watched())


def test_differences_are_those_of_the_two_versions(engine: Engine, batch: Batch) -> None:
    async def scenario() -> None:
        await VersionCommands(Reconciler(engine.catalogue)).shadow("hand", 2, 1.0)
        await ask(engine, batch, times=3)
        figures = await compared(engine, 3 * ROWS)
        assert (figures.rows, figures.failed_rows, figures.dropped_rows) == (3 * ROWS, 0, 0)
        ours = engine.get("hand", 1).predictor.run(batch)
        theirs = engine.get("hand", 2).predictor.run(batch)
        absolute, largest, _, divergence, _ = figures.task(0)
        apart = np.abs(ours.tasks["price"] - theirs.tasks["price"])
        assert absolute == pytest.approx(3 * apart.sum(dtype=np.float64), rel=1e-5)
        assert largest == pytest.approx(apart.max(), rel=1e-5)
        assert 0 < divergence < 3 * ROWS

    play(scenario())


def test_a_version_against_itself_differs_in_nothing(engine: Engine, batch: Batch) -> None:
    async def scenario() -> None:
        commands = VersionCommands(Reconciler(engine.catalogue))
        await commands.pin("hand", 3)
        (engine.settings.models_directory / "hand" / "4").mkdir()
        again = engine.settings.models_directory / "hand" / "4" / "model.onnx"
        again.write_bytes((engine.settings.models_directory / "hand" / "3" / "model.onnx").read_bytes())
        await commands.load("hand")
        await commands.shadow("hand", 4, 1.0)
        await ask(engine, batch)
        figures = await compared(engine, ROWS)
        for task in range(3):
            absolute, largest, disagreements, divergence, same_top = figures.task(task)
            assert (absolute, largest, disagreements, same_top) == (0, 0, 0, ROWS)
            assert divergence == pytest.approx(0, abs=1e-9)

    play(scenario())


def test_a_share_is_chosen_and_the_end_ends_it(engine: Engine, batch: Batch) -> None:
    async def scenario() -> None:
        commands = VersionCommands(Reconciler(engine.catalogue))
        await commands.shadow("hand", 2, 0.3)
        shadow, one = engine.catalogue.shadowed["hand"], batch.slice(0, 1)
        parts = [RunSlice(RunResult(engine.get().predictor.run(one), 1, 0.0, one), 0, 1) for _ in range(1000)]
        shadow.offer(parts)
        await commands.shadow("hand", None)
        assert engine.get().run_callback.call is None
        assert engine.catalogue.shadowed == {}
        with pytest.raises(ModelNotFound):
            engine.get("hand", 2)
        assert engine.catalogue.shadows is not None
        engine.catalogue.shadows.close()  # what waited was compared
        found = engine.catalogue.last_shadow("hand")
        assert found is not None
        assert 200 < found.rows < 400

    play(scenario())


def test_the_last_comparison_is_told_whose_file_was_replaced_too(engine: Engine, hand_model: HandModel) -> None:
    async def scenario() -> None:
        reconciler = Reconciler(engine.catalogue)
        commands = VersionCommands(reconciler)
        await commands.shadow("hand", 2, 1.0)
        await commands.shadow("hand", 3, 1.0)
        models = engine.settings.models_directory
        hand_model(models.parent / "aside", "hand", 2, tasks=("price",)).replace(models / "hand" / "2" / "model.onnx")
        await reconciler.rescan()
        for version, tasks in ((2, 1), (3, 3)):
            await commands.shadow("hand", version, 1.0)
            await commands.shadow("hand", None)
            last = engine.catalogue.last_shadow("hand")
            assert last is not None
            assert (last.pair.candidate, len(last.pair.tasks)) == (version, tasks)

    play(scenario())


def test_neither_a_slow_nor_a_failing_candidate_is_in_the_way(engine: Engine, batch: Batch) -> None:
    async def scenario() -> None:
        await VersionCommands(Reconciler(engine.catalogue)).shadow("hand", 2, 1.0)
        candidate = engine.get("hand", 2).predictor
        entered, go_on = threading.Event(), threading.Event()

        def blocked(batch: Batch, outputs: object = None) -> Any:
            entered.set()
            go_on.wait(60)
            raise RuntimeError("the candidate is at fault")

        candidate.run = blocked  # type: ignore[method-assign]
        await ask(engine, batch)
        await asyncio.to_thread(entered.wait)
        many = QUEUE_ROWS // ROWS + 10
        await ask(engine, batch, times=many)
        go_on.set()
        tally = engine.catalogue.shadowed["hand"].tally
        while (total := tally.total()).failed_rows + total.dropped_rows < (1 + many) * ROWS:
            await asyncio.sleep(0.005)
        assert total.rows == 0
        assert 8 * ROWS <= total.dropped_rows <= 10 * ROWS

    play(scenario())


def test_what_cannot_be_compared_is_refused(engine: Engine, hand_model: HandModel) -> None:
    models = engine.settings.models_directory
    hand_model(models, "hand", 4, fault="wrong_golden")
    hand_model(models, "hand", 5, kind="wide")

    async def scenario() -> None:
        commands = VersionCommands(Reconciler(engine.catalogue))
        await commands.load("hand")
        for version, said in ((1, "is the one that is served"), (4, "Golden row"), (5, "takes 'x0', 'x1'")):
            with pytest.raises(VersionConflict, match=said):
                await commands.shadow("hand", version, 0.5)
        with pytest.raises(ModelNotFound):
            await commands.shadow("hand", 9, 0.5)
        assert engine.catalogue.shadowed == {}

    play(scenario())


def test_a_version_that_is_a_shadow_by_a_setting_is_not_served(tmp_path: Path, hand_model: HandModel) -> None:
    for version in (1, 2):
        hand_model(tmp_path / "models", "hand", version)
    with RunDirectory.create(1, tmp_path / "memory") as directory:
        settings = Settings(models=tmp_path / "models", shadow_versions={"hand": 2}, shadow_share=0.5)
        engine = Engine(settings, shadows=Shadows(directory, 0))
        engine.catalogue.scan()
        assert engine.get("hand").version == 1
        assert (engine.catalogue.shadowed["hand"].pair.candidate, engine.catalogue.shadowed["hand"].share) == (2, 0.5)
        assert engine.get("hand", 2).run_callback.call is None
        engine.close()


def test_the_candidate_may_order_its_features_otherwise_and_take_fewer(
    tmp_path: Path, hand_model: HandModel, batch: Batch
) -> None:
    ours = Predictor.load(hand_model(tmp_path, "hand", 1)).manifest
    numeric, categorical = ours.numeric, ours.categorical
    theirs = ours.model_copy(update={"features": (numeric[2], numeric[0], *reversed(categorical))})
    read = rows_reader("hand", (1, ours), (2, theirs))
    found = read(batch)
    assert batch.numeric is not None
    assert batch.categorical is not None
    assert found.numeric is not None
    np.testing.assert_array_equal(found.numeric, batch.numeric[:, [2, 0]])
    np.testing.assert_array_equal(found.categorical, batch.categorical[:, ::-1])
    none = rows_reader("hand", (1, ours), (2, ours.model_copy(update={"features": numeric})))(batch)
    assert none.categorical is None
    assert rows_reader("hand", (1, ours), (2, ours))(batch) is batch


def test_a_candidate_of_fewer_ids_bags_and_moments_reads_the_columns_it_needs(
    tmp_path: Path, hand_model: HandModel
) -> None:
    _, ours = read_model(hand_model(tmp_path, kind="kinds"))
    texts = np.array([["red", "Oslo", "u", "a|b", "c, d"]], object)
    batch = Batch(np.ones((1, 3), np.float32), texts, 1, datetime=np.array([[7]]))
    by_name = {feature.name: feature for feature in ours.features}

    def candidate(*names: str, **changed: Any) -> Manifest:
        features = tuple(by_name[name].model_copy(update=changed) for name in names)
        return ours.model_copy(update={"features": features})

    fewer = rows_reader("hand", (1, ours), (2, candidate("age", "user", "seen")))(batch)
    assert fewer.categorical is not None
    assert fewer.categorical.tolist() == [["u", "c, d"]]
    assert fewer.datetime is None
    of_moments = rows_reader("hand", (1, ours), (2, candidate("clicked_at")))(batch)
    assert list(of_moments.inputs()) == ["datetime"]
    with pytest.raises(VersionConflict, match="takes 'tags', which version 1 does not"):
        rows_reader("hand", (1, ours), (2, candidate("tags", separator=";")))
