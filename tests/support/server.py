"""Real services on free ports.

`python -m service` in a process of its own, up when it says so, ended by SIGTERM.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "service")
START_TIMEOUT_S, END_TIMEOUT_S = 240, 90  # ends to waiting, for a machine under heavy load


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Return this process's environment with only these settings of the service.

    As in `{"workers": "2"}`.
    """
    quiet = {key: value for key, value in os.environ.items() if not key.startswith("MMOE_")}
    return quiet | {f"MMOE_{key.upper()}": value for key, value in settings.items()}


def completed(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the service until it ends by itself, such as with settings that cannot be."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(settings), capture_output=True, text=True,
        timeout=START_TIMEOUT_S, check=False,
    )  # fmt: skip


def end(
    process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM, timeout_s: float = END_TIMEOUT_S
) -> int:
    """Signal a process, if it still runs, and return its exit status.

    Kills it if it does not end.
    """
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


class Service:
    """Running service."""

    def __init__(self, models: Path | str, settings: dict[str, str]) -> None:
        given = environment({"models": str(models), "port": "0"} | settings) | {"PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            COMMAND, cwd=ROOT, env=given, stderr=subprocess.PIPE, text=True, errors="backslashreplace"
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._queue.put(line)
        self._queue.put(None)

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Read the log up to a line that matches."""
        while True:
            line = self._queue.get(timeout=START_TIMEOUT_S)
            assert line is not None, f"the service ended before it said {pattern!r}:\n{''.join(self.lines)}"
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def log(self) -> list[str]:
        """Return the lines of the log that have come."""
        while not self._queue.empty():
            if (line := self._queue.get()) is not None:
                self.lines.append(line)
        return self.lines

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process, wait until it ends, return its status; kill it if it does not."""
        try:
            return end(self.process, number)
        finally:
            self._reader.join()
            assert self.process.stderr
            self.process.stderr.close()


@contextmanager
def running(models: Path | str, **settings: str) -> Iterator[Service]:
    """Run a service: `with running(models, max_rows="5") as service`."""
    service = Service(models, settings)
    try:
        service.url = service.wait_for(r"Serving .* on (http://\S+)")[1]
        yield service
    finally:
        service.end()
