"""Heartbeats: who is silent, for how long, and what does not count as silence."""

import asyncio
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.run_directory import RunDirectory
from service.workers.heartbeat import Heartbeat, HeartbeatMonitor

ROOT = Path(__file__).parents[3]


class Clock:
    """Clock of `time.monotonic` and `time.thread_time`, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", made)
    monkeypatch.setattr("time.thread_time", made)
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(2, tmp_path) as made:
        yield made


def look(monitor: HeartbeatMonitor, clock: Clock, times: int, pause_s: float = 1.0) -> None:
    for _ in range(times):
        clock.now += pause_s
        monitor.look()


def test_silence_adds_up_until_the_next_beat(directory: RunDirectory, clock: Clock) -> None:
    monitor, heartbeat = HeartbeatMonitor(directory, 2, 1.0), Heartbeat(directory, 0, 2, load_s=60)
    other = Heartbeat(directory, 1, 2, load_s=60)
    for _ in range(5):
        other.beat()
        look(monitor, clock, 1)
    assert (monitor.silent_s(0), monitor.silent_s(1)) == (5.0, 0.0)
    heartbeat.beat()
    look(monitor, clock, 1)
    assert (monitor.silent_s(0), monitor.silent_s(1)) == (0.0, 1.0)


def test_time_in_which_nobody_looked_is_no_silence(directory: RunDirectory, clock: Clock) -> None:
    monitor, heartbeat = HeartbeatMonitor(directory, 2, 1.0), Heartbeat(directory, 0, 2, load_s=60)
    look(monitor, clock, 3)
    look(monitor, clock, 1, pause_s=3600)
    assert monitor.silent_s(0) == 5.0, "two looks, whatever the clock says after the suspension"
    heartbeat.beat()
    look(monitor, clock, 1)
    assert monitor.silent_s(0) == 0.0


def test_whoever_loads_says_so_beforehand_and_later_has_what_it_took_twice(
    directory: RunDirectory, clock: Clock
) -> None:
    monitor, heartbeat = HeartbeatMonitor(directory, 2, 1.0), Heartbeat(directory, 0, 2, load_s=60)
    assert monitor.allowed_silence_s(0) == 0.0
    with heartbeat.loading():
        assert monitor.allowed_silence_s(0) == 60.0
        clock.now += 7
        with heartbeat.loading():
            clock.now += 1
        assert monitor.allowed_silence_s(0) == 60.0, "the first is not done"
    assert monitor.allowed_silence_s(0) == 16.0
    with pytest.raises(ValueError, match="broken"), heartbeat.loading():
        raise ValueError("broken")
    assert monitor.allowed_silence_s(0) == 16.0


def test_a_new_worker_has_time_to_start(directory: RunDirectory, clock: Clock) -> None:
    monitor = HeartbeatMonitor(directory, 2, 1.0)
    look(monitor, clock, 9)
    monitor.expect(0, 60.0)
    assert (monitor.silent_s(0), monitor.allowed_silence_s(0)) == (0.0, 60.0)
    heartbeat = Heartbeat(directory, 0, 2, load_s=60)
    with heartbeat.from_a_thread():
        assert monitor.allowed_silence_s(0) == 0.0


HOLDER = """
import ctypes, sys
from pathlib import Path
from service.workers.heartbeat import Heartbeat
from service.run_directory import RunDirectory
heartbeat = Heartbeat(RunDirectory(Path(sys.argv[1]), 2), 0, 2, load_s=60)
with heartbeat.from_a_thread():
    print("beating", flush=True)
    sys.stdin.readline()
    with heartbeat.loading():
        ctypes.PyDLL(None).usleep(1_000_000)  # with the interpreter held, as creating a session holds it
    print("loaded", flush=True)
    sys.stdin.readline()
"""


def test_a_load_that_holds_the_interpreter_is_announced_before_the_beats_end(directory: RunDirectory) -> None:
    monitor = HeartbeatMonitor(directory, 2, 0.1)
    command = [sys.executable, "-c", HOLDER, str(directory.path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin
        assert worker.stdout
        assert worker.stdout.readline() == "beating\n"
        worker.stdin.write("load\n")
        worker.stdin.flush()
        longest_s = 0.0
        while not select.select([worker.stdout], [], [], 0.02)[0]:
            monitor.look()
            if monitor.silent_s(0) > 0.6:
                assert monitor.allowed_silence_s(0) == 60.0
            longest_s = max(longest_s, monitor.silent_s(0))
        assert longest_s > 0.6, "nobody beat"


def test_it_beats_by_itself_from_a_thread_and_on_a_loop(directory: RunDirectory) -> None:
    monitor, heartbeat = HeartbeatMonitor(directory, 1, 1.0), Heartbeat(directory, 0, 1, load_s=60)

    def beats(passed: threading.Event) -> None:
        while not passed.wait(0.01):
            monitor.look()
            if monitor.silent_s(0) == 0.0:
                passed.set()

    with heartbeat.from_a_thread():
        beats(threading.Event())
    assert [thread for thread in threading.enumerate() if thread.name == "heartbeat"] == []

    async def serve() -> None:
        heartbeat.start()
        await asyncio.to_thread(beats, threading.Event())

    asyncio.run(serve())
