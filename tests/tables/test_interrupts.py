import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tables.interrupts import held_back

ROOT = Path(__file__).parents[2]
FIRST_CHILD = """
import multiprocessing, signal, sys
from tables.interrupts import kept_from_children
child = multiprocessing.get_context("spawn").Process(target=signal.raise_signal, args=(signal.SIGINT,))
with kept_from_children():
    child.start()
child.join()
sys.exit(child.exitcode)
"""


def test_an_interrupt_comes_after_what_it_may_not_cut() -> None:
    done = []

    def work() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_error_is_told_though_an_interrupt_came_before_it() -> None:
    def work() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        work()


def test_a_stopped_container_is_obeyed_after_it_too() -> None:
    told: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append("asked to end"))
    try:
        with held_back():
            signal.raise_signal(signal.SIGTERM)
            told.append("done")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == ["done", "asked to end"]


def test_a_thread_that_no_signal_interrupts_may_hold_them_back_too() -> None:
    def work() -> str:
        with held_back():
            return "done"

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(work).result() == "done"


def test_not_even_the_first_process_that_is_started_sees_ctrl_c() -> None:
    command = [sys.executable, "-c", FIRST_CHILD]
    ended = subprocess.run(command, cwd=ROOT, timeout=120, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
