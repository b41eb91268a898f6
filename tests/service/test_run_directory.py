"""Slots are claimed once, taken over after a death, and vanish with their instance."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.run_directory import OWNER_LOCK, RunDirectory

WORKER = """
import sys
from pathlib import Path
from service.run_directory import RunDirectory
slot = RunDirectory(Path(sys.argv[1]), 2).lock_slot()
print(slot.index, flush=True)
sys.stdin.read()
"""


def start_worker(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_slot_is_claimed_once_and_given_back(tmp_path: Path) -> None:
    with RunDirectory.create(2, tmp_path) as directory:
        first, second = directory.lock_slot(), directory.lock_slot()
        assert (first.index, second.index) == (0, 1)
        with pytest.raises(RuntimeError, match="all 2 slots"):
            directory.lock_slot()
        first.release()
        assert directory.lock_slot().index == 0


def test_a_killed_worker_gives_its_slot_back(tmp_path: Path) -> None:
    with RunDirectory.create(2, tmp_path) as directory:
        worker = start_worker(directory.path)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "0\n"
        assert directory.lock_slot().index == 1
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        assert directory.lock_slot().index == 0


def test_mapped_memory_is_shared_per_slot_and_outlives_its_mapping(tmp_path: Path) -> None:
    with RunDirectory.create(2, tmp_path) as directory:
        views = directory.map("deep/file", "layout", 5000)
        assert [len(view) for view in views] == [5000, 5000]
        views[0][0], views[1][4999] = 1, 2
        again = directory.map("deep/file", "layout", 5000)
        assert (again[0][0], again[0][4999], again[1][0], again[1][4999]) == (1, 0, 0, 2)
        assert [path.name for path in (directory.path / "deep").iterdir()] == ["file"], "nothing is left aside"


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    with RunDirectory.create(1, tmp_path) as directory:
        directory.map("file", "layout", 100)
        for identity, size in (("other", 100), ("layout", 100_000)):
            with pytest.raises(SettingsError, match="another layout"):
                directory.map("file", identity, size)


def test_the_directory_goes_with_its_maker_and_not_with_a_worker(tmp_path: Path) -> None:
    with RunDirectory.create(1, tmp_path) as directory:
        with RunDirectory(directory.path, 1):
            pass
        assert directory.path.is_dir()
        assert directory.path.stat().st_mode & 0o077 == 0, "only this user may look"
    assert list(tmp_path.iterdir()) == []


def test_a_start_removes_what_dead_instances_left_and_nothing_else(tmp_path: Path) -> None:
    living = RunDirectory.create(1, tmp_path)
    dead = tmp_path / "mmoe-dead"
    dead.mkdir()
    (dead / OWNER_LOCK).touch()
    (dead / "file").touch()
    strangers = tmp_path / "mmoe-notes"
    strangers.mkdir()
    fresh = RunDirectory.create(1, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living.path, strangers, fresh.path])
    fresh.close()
    living.close()


def test_a_directory_is_in_use_while_any_worker_lives(tmp_path: Path) -> None:
    launcher = RunDirectory.create(1, tmp_path)
    worker = start_worker(launcher.path)
    assert worker.stdout is not None
    worker.stdout.readline()
    launcher._owner = False  # as if killed: it removes nothing
    launcher.close()
    RunDirectory.create(1, tmp_path).close()
    assert launcher.path.is_dir()
    worker.communicate()
    RunDirectory.create(1, tmp_path).close()
    assert not launcher.path.exists()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a unit's, memory's, temporary and logind's directories into the temporary directory."""
    for name in ("own", "memory", "temporary", "session", "seats", "linger"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("service.run_directory.MEMORY", str(tmp_path / "memory"))
    monkeypatch.setattr("service.run_directory.LOGIND", tmp_path / "seats")
    monkeypatch.setattr("service.run_directory.LINGERING", tmp_path / "linger")
    monkeypatch.setattr("service.run_directory.ROOM_BYTES", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "session"))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setattr("os.getuid", lambda: 1000)
    return tmp_path


def taken() -> str:
    with RunDirectory.create(1) as directory:
        return directory.path.parent.name


def test_without_a_place_it_takes_the_first_with_room(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 999)
    assert taken() == "memory"
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{places}/own:{places}/other")
    assert taken() == "own"
    monkeypatch.setattr("service.run_directory.ROOM_BYTES", 1 << 60)
    assert taken() == "temporary"


def test_it_takes_no_place_that_a_logout_clears(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken() == "temporary", "logind removes what people have in shared memory"
    (places / "linger" / "somebody").touch()
    assert taken() == "memory", "but not of those who linger"
    (places / "linger" / "somebody").unlink()
    (places / "seats").rmdir()
    assert taken() == "memory", "and there is no logind in a container"


def test_it_notices_that_it_is_gone(tmp_path: Path) -> None:
    with RunDirectory.create(1, tmp_path) as directory, RunDirectory(directory.path, 1) as of_a_worker:
        assert (directory.gone, of_a_worker.gone) == (False, False)
        directory.path.rename(tmp_path / "elsewhere")
        assert (directory.gone, of_a_worker.gone) == (True, True)
        directory.path.mkdir()
        (directory.path / OWNER_LOCK).touch()
        assert (directory.gone, of_a_worker.gone) == (True, True), "another in its place"
        assert f"{directory.path} is gone" in directory.gone_sentence


def test_a_place_that_cannot_hold_it_is_one_sentence(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(SettingsError, match=r"MMOE_RUN_DIR is '.*file'; expected a directory that can be written"):
        RunDirectory.create(1, occupied)
    with pytest.raises(SettingsError, match="expected a run directory"):
        RunDirectory(tmp_path / "absent", 1)
    with RunDirectory.create(1, tmp_path) as directory, pytest.raises(SettingsError, match="with room for"):
        directory.map("file", "layout", 1 << 55)
    assert os.listdir(tmp_path) == ["file"]
