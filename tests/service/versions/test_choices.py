"""Choices of versions by files, calls and settings: which win, and what is told of them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.errors import VersionConflict
from service.settings import Settings
from service.versions import serving_edits as edits
from service.versions.commands import VersionCommands
from service.versions.reconciler import Reconciler
from service.versions.serving_file import ServingFile

HandModel = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, hand_model: HandModel) -> Path:
    for version in (1, 2, 3):
        hand_model(tmp_path / "models", "hand", version, tasks=("price", "sold"), seed=version)
    return tmp_path / "models"


@contextmanager
def serving(root: Path, **settings: Any) -> Iterator[tuple[Engine, VersionCommands]]:
    """Serve by a worker of its own, as one that has just been started."""
    engine = Engine(Settings.model_validate({"models": root, **settings}))
    engine.catalogue.scan()
    yield engine, VersionCommands(Reconciler(engine.catalogue))
    engine.close()


def play(*steps: Awaitable[object]) -> None:
    async def all_of_them() -> None:
        for step in steps:
            await asyncio.wait_for(step, 60)

    asyncio.run(all_of_them())


def note(engine: Engine) -> str:
    (model,) = engine.models()
    return model.note or ""


def test_what_calls_have_changed_holds_after_a_restart(root: Path) -> None:
    with serving(root) as (engine, commands):
        play(commands.pin("hand", 1, "the key 'ops'"), commands.canary("hand", 3, 0.25))
        play(commands.shadow("hand", 3, 0.5))
    with serving(root) as (engine, commands):
        (model,) = engine.models()
        assert (model.served, model.pinned, model.canary, model.shadow) == (1, 1, (3, 0.25), 3)
        assert "version 1 is pinned, at 20" in note(engine)
        play(commands.pin("hand", 2), commands.pin("hand", 3))
        assert engine.models()[0].canary is None, "it is served"
        play(commands.rollback("hand", "a caller"))
    with serving(root) as (engine, commands):
        assert engine.get("hand").version == 2
        assert "UTC by a caller; " in note(engine)
        play(commands.pin("hand", None))
        assert (engine.get("hand").version, note(engine)) == (3, "")


def test_a_rollback_ends_a_canary_and_the_next_one_goes_to_the_version_before(root: Path) -> None:
    with serving(root) as (engine, commands):
        play(commands.pin("hand", 2), commands.canary("hand", 3, 1.0), commands.shadow("hand", 3, 0.5))
        play(commands.rollback("hand"))
        (model,) = engine.models()
        assert (model.served, model.pinned, model.canary, engine.catalogue.splits) == (2, 2, None, {})
        play(commands.rollback("hand"))
        assert engine.get("hand").version == 1


def test_a_rollback_goes_back_from_what_another_worker_has_just_been_told_to_serve(root: Path) -> None:
    with serving(root) as (engine, commands):
        engine.catalogue.choose("hand", edits.pin(2, 3), "another worker")
        assert engine.get("hand").version == 3, "it is not served here yet"
        play(commands.rollback("hand"))
        assert (engine.get("hand").version, engine.models()[0].pinned) == (1, 1)


def test_a_canary_pins_what_is_served_and_its_end_serves_nothing_else(root: Path, hand_model: HandModel) -> None:
    with serving(root) as (engine, commands):
        play(commands.rollback("hand"), commands.canary("hand", 3, 0.25))
        hand_model(root, "hand", 4, tasks=("price", "sold"))
        play(commands.load("hand"), commands.canary("hand", None))
        assert (engine.get("hand").version, engine.models()[0].canary, engine.catalogue.splits) == (2, None, {})
        for version, share, said in ((2, 0.5, "is the one that is served"), (9, 0.5, "no such version")):
            with pytest.raises(Exception, match=said):
                play(commands.canary("hand", version, share))
        hand_model(root, "hand", 5, kind="wide", tasks=("price", "sold"))
        hand_model(root, "hand", 6, tasks=("price",))
        play(commands.load("hand"))
        for version, said in (
            (5, "it takes other features than version 2, or in"),
            (6, "it does not answer 'sold' as version 2 does"),
        ):
            with pytest.raises(VersionConflict, match=said):
                play(commands.canary("hand", version, 0.5))
        ServingFile.of(root, "hand").change(edits.canary(6, 0.5), "by hand")
        engine.catalogue.scan()
        assert "version 6 is the canary and gets no request: it does not answer 'sold'" in note(engine)
        assert (engine.catalogue.splits, engine.catalogue.serving_figures()[0][1:3]) == ({}, (6, 0.0))


def test_a_broken_file_leaves_what_is_served_and_says_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(root) as (engine, commands):
        play(commands.pin("hand", 1))
        good = (root / "hand" / "serving.json").read_text()
        (root / "hand" / "serving.json").write_text(good[:30])
        engine.catalogue.scan()
        assert engine.get("hand").version == 1
        assert "serving.json cannot be used: Invalid JSON" in note(engine)
        assert caplog.text.count("what it said before holds") == 1
        assert engine.catalogue.serving_figures()[0].is_broken
        with pytest.raises(VersionConflict, match=r"Mend the file, or remove it\."):
            play(commands.pin("hand", 2))
        (root / "hand" / "serving.json").write_text(json.dumps({**json.loads(good), "pinned": 2}))
        engine.catalogue.scan()
        assert (engine.get("hand").version, engine.catalogue.serving_figures()[0].is_broken) == (2, False)
        (root / "hand" / "serving.json").unlink()
        engine.catalogue.scan()
        assert engine.get("hand").version == 3


def test_settings_win_over_the_file_and_say_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = ServingFile.of(root, "hand")
    file.change(edits.pin(2), "scripts.promote")
    overruled = "MMOE_PINNED_VERSIONS pins version 1, and wins over version 2 in serving.json"
    with serving(root, pinned_versions={"hand": 1}, shadow_versions={"hand": 3}) as (engine, commands):
        assert (engine.get("hand").version, engine.models()[0].shadow) == (1, 3)
        assert overruled in note(engine)
        assert caplog.text.count(overruled) == 1
        for call in (commands.pin("hand", 3), commands.pin("hand", None), commands.rollback("hand")):
            with pytest.raises(VersionConflict, match="MMOE_PINNED_VERSIONS pins version 1 of model 'hand', and wins"):
                play(call)
        for call in (commands.shadow("hand", None), commands.shadow("hand", 2, 0.5)):
            with pytest.raises(VersionConflict, match="MMOE_SHADOW_VERSIONS compares version 3 of model 'hand'"):
                play(call)
        with pytest.raises(VersionConflict, match="a canary has to be the same version"):
            play(commands.canary("hand", 2, 0.5))
        play(commands.canary("hand", 3, 0.5))
        assert engine.models()[0].canary == (3, 0.5)
    assert file.read().pinned == 2


def test_where_no_file_can_be_written_calls_work_until_a_restart(root: Path) -> None:
    nowhere = {"serving_directory": "/proc"}  # where nobody can make a directory
    with serving(root, **nowhere) as (engine, commands):
        play(commands.pin("hand", 1), commands.canary("hand", 3, 0.25))
        engine.catalogue.scan()
        assert (engine.get("hand").version, engine.models()[0].canary) == (1, (3, 0.25))
        assert "what calls have changed is lost when the service restarts" in note(engine)
    with serving(root, **nowhere) as (engine, commands):
        assert (engine.get("hand").version, note(engine)) == (3, "")


def test_what_could_not_be_written_is_written_with_the_next_change(root: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.symlink_to(tmp_path / "later")
    with serving(root, serving_directory=aside) as (engine, commands):
        play(commands.pin("hand", 2))
        assert "cannot be written" in note(engine)
        (tmp_path / "later").mkdir()
        play(commands.canary("hand", 3, 0.25))
        assert "cannot be written" not in note(engine)
    said = ServingFile.of(root, "hand", aside).read()
    assert (said.pinned, said.canary and said.canary.version) == (2, 3)
