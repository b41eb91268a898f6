"""The trainer's process: its exit codes, its last words, and its end with the loop's."""

import signal
import sys
from pathlib import Path
from types import FrameType

import pytest

from loop.training import Trained, train

READY = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("checkpoint written", flush=True)))
os.kill(os.getppid(), signal.SIGALRM)
while True:
    signal.pause()
"""


def child(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_the_exit_code_and_the_last_words_tell_what_came_of_a_training(tmp_path: Path) -> None:
    (tmp_path / "training.log").write_text("error: of a training before\n")
    assert train(child("print('Published')"), tmp_path) == Trained("published")
    said = "Test metrics\\nNot published: sold.auc is 0.6, before 0.7.\\nthat is all"
    worse = train(child(f"print('{said}'); exit(3)"), tmp_path)
    assert worse == Trained("worse", "Not published: sold.auc is 0.6, before 0.7")
    broken = train(child("import sys; print('error: no such column', file=sys.stderr); exit(2)"), tmp_path)
    assert broken == Trained("failed", "error: no such column")
    assert train(child("exit(7)"), tmp_path) == Trained("failed", "exit code 7")
    with pytest.raises(KeyboardInterrupt):
        train(child("exit(130)"), tmp_path)


def test_a_stop_of_the_loop_stops_the_trainer_and_waits_for_its_checkpoint(tmp_path: Path) -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(child(READY), tmp_path)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (tmp_path / "training.log").read_text() == "checkpoint written\n"
