import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from model.errors import TrainError
from model.training import state as state_module
from model.training.state import load_checkpoint as load
from model.training.state import save_checkpoint as save

IDENTITY = {"train.epochs": "3"}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.pt"
    save(path, {"identity": IDENTITY, "x": torch.arange(3), "n": 2})
    state = load(path, IDENTITY)
    assert state is not None
    assert state["x"].tolist() == [0, 1, 2]
    assert state["n"] == 2
    assert [p.name for p in path.parent.iterdir()] == ["run.pt"]


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert load(tmp_path / "run.pt", IDENTITY) is None


def test_a_half_written_file_beside_it_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save(path, {"identity": IDENTITY, "n": 1})
    (tmp_path / "run.pt.tmp").write_bytes(path.read_bytes()[:100])
    state = load(path, IDENTITY)
    assert state is not None
    assert state["n"] == 1
    save(path, {"identity": IDENTITY, "n": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_full_disk_ends_with_a_sentence_and_keeps_what_was_there(
    tmp_path: Path, little_room: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "run.pt"
    save(path, {"identity": IDENTITY, "n": 1})
    for size in (0, 10_000, 30_000):
        with (
            little_room(size),
            pytest.raises(TrainError, match=r"run\.pt: the checkpoint cannot be written: .*make room"),
        ):
            save(path, {"identity": IDENTITY, "x": torch.zeros(10_000)})
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    assert (load(path, IDENTITY) or {})["n"] == 1


def test_an_interrupt_waits_until_the_checkpoint_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(state_module._Sink):
        def write(self, content: bytes | memoryview) -> int:
            signal.raise_signal(signal.SIGINT)
            return super().write(content)

    monkeypatch.setattr(state_module, "_Sink", Interrupted)
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        save(path, {"identity": IDENTITY, "n": 1})
    assert (load(path, IDENTITY) or {})["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_another_run_s_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save(path, {"identity": IDENTITY})
    with pytest.raises(TrainError, match=r"run\.pt.*train\.epochs was 3 and is 4"):
        load(path, {"train.epochs": "4"})


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(content)
    with pytest.raises(TrainError, match=r"run\.pt: this is not a checkpoint"):
        load(path, IDENTITY)
