"""Versions that come, go and break while the service runs: served, refused, freed."""

import asyncio
import errno
import gc
import shutil
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.errors import ArtifactError, ModelNotFound, NotReady, VersionConflict
from service.run_directory import RunDirectory
from service.settings import Settings
from service.versions.barrier import Barrier
from service.versions.checker import CheckLimits
from service.versions.commands import VersionCommands
from service.versions.desired_state import DesiredStateStore
from service.versions.proven import ProvenFiles
from service.versions.reconciler import Reconciler
from tests.support.hostile_model import write_endless

HandModel = Callable[..., Path]
TASKS = ("price", "sold")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def publish(root: Path, hand_model: HandModel) -> Callable[..., Path]:
    """Make a version appear whole, as a publisher does; it replaces one of the same number."""

    def made(name: str, version: int, **variations: Any) -> Path:
        aside = hand_model(root / f".{name}-{version}", name, version, tasks=TASKS, **variations)
        place = root / name / str(version)
        place.mkdir(parents=True, exist_ok=True)
        aside.replace(place / "model.onnx")
        shutil.rmtree(root / f".{name}-{version}")
        return place / "model.onnx"

    return made


@pytest.fixture
def engine(root: Path, publish: Callable[..., Path]) -> Iterator[Engine]:
    publish("hand", 1)
    made = Engine(Settings(models=root, poll_interval_s=0.001))
    made.catalogue.scan()
    yield made
    made.close()


def play(scenario: Awaitable[None]) -> None:
    async def watched() -> None:
        await asyncio.wait_for(scenario, 60)

    asyncio.run(watched())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def state(engine: Engine, version: int, name: str = "hand") -> Any:
    (model,) = (model for model in engine.models() if model.name == name)
    return next((v for v in model.versions if v.version == version), None)


async def following(reconciler: Reconciler, scenario: Awaitable[None]) -> None:
    task = asyncio.create_task(reconciler.keep_reconciling())
    try:
        await scenario
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_what_appears_changes_and_goes_is_followed(engine: Engine, root: Path, publish: Callable[..., Path]) -> None:
    async def scenario() -> None:
        publish("hand", 2, seed=2)
        publish("other", 1)
        await until(lambda: engine.get("hand").version == 2)
        assert engine.get("other").version == 1
        before = engine.get("hand")
        publish("hand", 2, seed=3)
        await until(lambda: engine.get("hand") is not before)
        assert engine.get("hand").version == 2
        shutil.rmtree(root / "hand" / "2")
        shutil.rmtree(root / "other")
        await until(lambda: engine.get("hand").version == 1)
        assert [model.name for model in engine.models()] == ["hand"]

    play(following(Reconciler(engine.catalogue), scenario()))


def test_a_replaced_version_is_freed(engine: Engine, publish: Callable[..., Path]) -> None:
    async def scenario() -> None:
        old = weakref.ref(engine.get("hand").predictor)
        publish("hand", 2)
        await until(lambda: old() is None)
        assert engine.get("hand").version == 2

    gc.disable()
    try:
        play(following(Reconciler(engine.catalogue), scenario()))
    finally:
        gc.enable()


def test_a_refused_file_is_tried_again_only_when_it_changes(
    engine: Engine, publish: Callable[..., Path], tmp_path: Path
) -> None:
    opened: list[str] = []
    load = engine.catalogue.open

    def counted(path: Path, name: str) -> Any:
        opened.append(path.parent.name)
        return load(path, name)

    async def scenario() -> None:
        publish("hand", 2, fault="truncated")
        await until(lambda: state(engine, 2) is not None)
        assert state(engine, 2).is_refused
        assert engine.catalogue.refused() == [("hand", 2)]
        for _ in range(20):
            engine.catalogue.look()
            assert not engine.catalogue.outdated()
        publish("other", 1)  # another change is not a reason either
        await until(lambda: "1" in opened)
        assert opened.count("2") == 1
        publish("hand", 2, seed=4)
        await until(lambda: engine.get("hand").version == 2)
        assert opened.count("2") == 2
        assert engine.catalogue.refused() == []

    reconciler = Reconciler(engine.catalogue)
    engine.catalogue.open = counted
    play(following(reconciler, scenario()))


def test_rolling_back_pins_the_version_before_until_told_otherwise(
    engine: Engine, publish: Callable[..., Path]
) -> None:
    async def scenario() -> None:
        commands = VersionCommands(Reconciler(engine.catalogue))
        publish("hand", 2, fault="wrong_golden")
        publish("hand", 3, seed=3)
        publish("hand", 4, seed=4)
        await commands.load("hand")
        assert engine.get("hand").version == 4
        assert await commands.rollback("hand") == 3
        assert await commands.rollback("hand") == 1, "2 must not be served"
        (model,) = engine.models()
        assert (model.served, model.pinned) == (1, 1)
        assert ":pin" in (model.note or "")
        publish("hand", 5, seed=5)
        await commands.load("hand")
        assert engine.get("hand").version == 1, "what is published does not end it"
        with pytest.raises(VersionConflict, match="no version of model 'hand' before 1"):
            await commands.rollback("hand")
        await commands.pin("hand", None)
        assert engine.get("hand").version == 5
        assert engine.models()[0].note is None
        await commands.pin("hand", 3)
        assert engine.get("hand").version == 3
        with pytest.raises(VersionConflict, match="Golden row"):
            await commands.pin("hand", 2)
        with pytest.raises(ModelNotFound):
            await commands.pin("hand", 9)
        assert engine.get("hand").version == 3

    play(scenario())


def test_where_all_before_are_refused_there_is_none_before(engine: Engine, publish: Callable[..., Path]) -> None:
    async def scenario() -> None:
        commands = VersionCommands(Reconciler(engine.catalogue))
        publish("hand", 1, fault="truncated")
        publish("hand", 2)
        await commands.load("hand")
        with pytest.raises(VersionConflict, match="as those on disk must not be served: version 1: The file is trunc"):
            await commands.rollback("hand")
        assert engine.get("hand").version == 2

    play(scenario())


def test_only_the_pinned_tasks_are_served(root: Path, publish: Callable[..., Path], hand_model: HandModel) -> None:
    publish("hand", 1)
    engine = Engine(Settings.model_validate({"models": root, "pinned_tasks": "hand=sold+price"}))
    engine.catalogue.scan()
    hand_model(root, "hand", 2, tasks=("price", "sold", "grade"))
    engine.catalogue.scan()
    assert engine.get("hand").version == 1
    assert state(engine, 2).reason == (
        "Its tasks are grade, price, sold; pinned are price, sold. "
        "Export a model of these tasks, or change MMOE_PINNED_TASKS."
    )
    engine.close()


def test_a_directory_that_vanishes_leaves_what_is_loaded(
    engine: Engine, root: Path, publish: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        root.rename(root.with_name("elsewhere"))
        await until(lambda: "cannot be read" in caplog.text)
        assert engine.get("hand").version == 1
        root.with_name("elsewhere").rename(root)
        publish("hand", 2)
        await until(lambda: engine.get("hand").version == 2)
        assert caplog.text.count("cannot be read") == 1

    play(following(Reconciler(engine.catalogue), scenario()))


@pytest.fixture
def checking(root: Path, publish: Callable[..., Path], tmp_path: Path) -> Iterator[tuple[Engine, Reconciler]]:
    """Serve `hand` 1 and `other` 1 by a worker whose files are checked, with no time limit."""
    publish("hand", 1)
    publish("other", 1)
    (tmp_path / "memory").mkdir()
    proven = ProvenFiles(tmp_path / "memory", 64, CheckLimits(timeout_s=600))
    made = Engine(Settings(models=root, poll_interval_s=0.01))
    reconciler = Reconciler(made.catalogue, proven=proven)
    made.catalogue.scan()
    yield made, reconciler
    proven.close()
    made.close()


def test_calls_wait_for_no_check_of_another_model_or_version(
    checking: tuple[Engine, Reconciler], root: Path, publish: Callable[..., Path]
) -> None:
    engine, reconciler = checking
    commands = VersionCommands(reconciler)

    async def scenario() -> None:
        endless = write_endless(root, ".hand", 2).parent
        endless.rename(root / "hand" / "2")
        await until(lambda: state(engine, 2) is not None)
        publish("other", 2, seed=2)
        pin = asyncio.create_task(commands.pin("hand", 2))
        await commands.pin("hand", 1)
        await commands.load("other")
        assert engine.get("other").version == 2
        assert await commands.rollback("other") == 1
        await commands.unload("other")
        await commands.load("other")
        await commands.pin("other", 2)
        assert not pin.done()
        assert state(engine, 2).reason == "it is being checked"
        pin.cancel()
        await asyncio.gather(pin, return_exceptions=True)

    play(following(reconciler, scenario()))


def test_a_version_that_cannot_be_loaded_is_not_pinned(engine: Engine, publish: Callable[..., Path]) -> None:
    publish("hand", 2, seed=2)
    engine.catalogue.scan()
    load, broken = engine.catalogue.open, True

    def without_memory(path: Path, name: str) -> Any:
        if broken:
            raise MemoryError
        return load(path, name)

    async def scenario() -> None:
        nonlocal broken
        engine.catalogue.open = without_memory
        commands = VersionCommands(Reconciler(engine.catalogue))
        with pytest.raises(VersionConflict, match="cannot be served: MemoryError"):
            await commands.pin("hand", 1)
        with pytest.raises(VersionConflict, match=r"before 2.*MemoryError"):
            await commands.rollback("hand")
        assert (engine.get("hand").version, engine.catalogue.chosen("hand").serving.pinned) == (2, None)
        broken = False
        await commands.pin("hand", 1)
        assert engine.get("hand").version == 1

    play(scenario())


def test_what_could_not_be_loaded_is_tried_again_without_a_change_on_disk(
    engine: Engine, publish: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    load, failures = engine.catalogue.open, [OSError(errno.EMFILE, "Too many open files"), MemoryError()]

    def in_need(path: Path, name: str) -> Any:
        if failures:
            raise failures.pop(0)
        return load(path, name)

    async def scenario() -> None:
        engine.catalogue.open = in_need
        publish("hand", 2, seed=2)
        await until(lambda: engine.get("hand").version == 2)
        assert not failures

    play(following(Reconciler(engine.catalogue), scenario()))
    assert "hand 2 could not be loaded, and is tried again: [Errno 24] Too many open files" in caplog.text
    assert engine.catalogue.refused() == []


class Team:
    """Two workers of one instance in this process, as far as models go."""

    def __init__(self, root: Path, memory: Path) -> None:
        self.directory = RunDirectory.create(2, memory)
        settings = Settings(models=root, poll_interval_s=0)
        self.engines = [Engine(settings, store=DesiredStateStore(self.directory.path)) for _ in range(2)]
        self.reconcilers: list[Reconciler] = []
        for place, engine in enumerate(self.engines):
            engine.catalogue.scan()
            proven = ProvenFiles(self.directory.path, 64)
            self.reconcilers.append(Reconciler(engine.catalogue, Barrier(self.directory, place, 2), proven))

    def close(self) -> None:
        for engine in self.engines:
            engine.close()
        self.directory.close()


@pytest.fixture
def team(root: Path, publish: Callable[..., Path], tmp_path: Path) -> Iterator[Team]:
    publish("hand", 1)
    made = Team(root, tmp_path / "memory")
    yield made
    made.close()


def test_workers_swap_together(team: Team, publish: Callable[..., Path]) -> None:
    one, other = team.engines

    async def scenario() -> None:
        first, second = (asyncio.create_task(reconciler.keep_reconciling()) for reconciler in team.reconcilers)
        publish("hand", 2)
        load = asyncio.create_task(VersionCommands(team.reconcilers[0]).load("hand"))
        swapped: list[tuple[int, int]] = []
        for reconciler in team.reconcilers:
            reconciler.after = lambda: swapped.append((one.get("hand").version, other.get("hand").version))
        await load
        await until(lambda: len(swapped) == 2)
        assert one.get("hand").version == other.get("hand").version == 2
        second.cancel()  # a worker that ends is not waited for
        await asyncio.gather(second, return_exceptions=True)
        publish("hand", 3)
        await asyncio.wait_for(VersionCommands(team.reconcilers[0]).load("hand"), 5)
        assert (one.get("hand").version, other.get("hand").version) == (3, 2)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    play(scenario())


def test_a_worker_waits_until_the_other_could_swap_too(team: Team, publish: Callable[..., Path]) -> None:
    one, other = team.engines

    async def scenario() -> None:
        publish("hand", 2)
        one.catalogue.look()
        task = asyncio.create_task(team.reconcilers[0].keep_reconciling())
        while not one.catalogue.outdated() or team.reconcilers[0].waiting != one.catalogue.store.last.change:
            await asyncio.sleep(0.005)
        assert one.get("hand").version == 1, "it is loaded, but the other has not begun"
        following = asyncio.create_task(team.reconcilers[1].keep_reconciling())
        await until(lambda: one.get("hand").version == other.get("hand").version == 2)
        for keeping in (task, following):
            keeping.cancel()
        await asyncio.gather(task, following, return_exceptions=True)

    play(scenario())


def test_a_model_that_is_not_there_is_said(engine: Engine) -> None:
    async def scenario() -> None:
        commands = VersionCommands(Reconciler(engine.catalogue))
        for call in (commands.load, commands.unload, commands.rollback):
            with pytest.raises(ModelNotFound, match="no model 'sensus'"):
                await call("sensus")
        await commands.unload("hand")
        with pytest.raises(NotReady):
            engine.get("hand")
        with pytest.raises(VersionConflict, match="No version of model 'hand' is served"):
            await commands.rollback("hand")
        await commands.load("hand")
        assert engine.get("hand").version == 1

    play(scenario())


def test_a_model_of_broken_files_alone_cannot_be_loaded(engine: Engine, publish: Callable[..., Path]) -> None:
    async def scenario() -> None:
        publish("broken", 1, fault="zero_bytes")
        with pytest.raises(ArtifactError, match="0 bytes"):
            await VersionCommands(Reconciler(engine.catalogue)).load("broken")

    play(scenario())
