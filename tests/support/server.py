"""Real services on free ports: `python -m service` in a process of its own, up when it says so, ended by SIGTERM."""

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
START_TIMEOUT_S, END_TIMEOUT_S = 60, 30


class Service:
    """Hold a running service."""

    def __init__(self, models: Path, settings: dict[str, str]) -> None:
        quiet = {key: value for key, value in os.environ.items() if not key.startswith("MMOE_")}
        environment = quiet | {"MMOE_MODELS": str(models), "MMOE_PORT": "0", "PYTHONUNBUFFERED": "1"} | settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = ""

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

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process, wait until it ends, return its status; kill it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join()
            assert self.process.stderr
            self.process.stderr.close()


@contextmanager
def running(models: Path, **settings: str) -> Iterator[Service]:
    service = Service(models, {f"MMOE_{key.upper()}": value for key, value in settings.items()})
    try:
        service.url = service.wait_for(r"Serving .* on (http://\S+)")[1]
        yield service
    finally:
        service.end()
