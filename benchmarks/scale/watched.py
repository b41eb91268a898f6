"""Watched run of a command: lines of progress timed, memory sampled, killed on request."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scale.limit import Limit
from benchmarks.scale.setting import say
from benchmarks.servers import Server

EVERY_S = 0.5
"""Seconds between two samples of memory."""


@dataclass(frozen=True)
class Line:
    """Line of the command's standard error.

    Attributes:
        seconds: since the command's start.
        cpu_s: CPU time of its processes until then.
    """

    seconds: float
    cpu_s: float
    text: str


@dataclass
class Watched:
    """Course of a command.

    Attributes:
        seconds: wall time.
        cpu_s: CPU time at the last sample.
        peak_mb: most anonymous memory of all its processes together, in MB (2**20 bytes).
        killed: whether it was ended on request.
        status: exit status; negative for a signal, None before the end.
        lines: of standard error.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    killed: bool = False
    status: int | None = None
    lines: list[Line] = field(default_factory=list)

    def line(self, pattern: str) -> Line | None:
        """Find the first line that begins like that."""
        return next((line for line in list(self.lines) if re.match(pattern, line.text)), None)

    @property
    def last_words(self) -> str:
        """Return the last line of standard error."""
        return self.lines[-1].text if self.lines else "none"


Each = Callable[[Watched], bool]
"""Call after each sample; True ends the command by SIGKILL."""


def watch(module: str, arguments: Sequence[str], limit: Limit, each: Each | None = None) -> Watched:
    """Run `python -m MODULE ARGUMENTS` to its end, within a limit of memory."""
    began = time.monotonic()
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        limit.put(process.pid)
        tree, found = Server(process, 0), Watched()
        reader = threading.Thread(target=_note_lines, args=(tree, found, began))
        reader.start()
        while process.poll() is None:
            found.seconds, found.cpu_s = time.monotonic() - began, max(found.cpu_s, tree.cpu_s())
            found.peak_mb = max(found.peak_mb, sum(map(anonymous_mb, tree.processes())))
            if not found.killed and each is not None and each(found):
                found.killed = True
                process.kill()
            time.sleep(EVERY_S)
        reader.join()
    found.status, found.seconds = process.returncode, time.monotonic() - began
    found.killed &= found.status != 0
    return found


def _note_lines(tree: Server, found: Watched, began: float) -> None:
    assert tree.process.stderr is not None
    for text in tree.process.stderr:
        line = Line(time.monotonic() - began, tree.cpu_s(), text.decode(errors="replace").rstrip())
        say(f"  {line.seconds:7.1f} s  {line.cpu_s:7.1f} CPU s  {line.text}")
        found.lines.append(line)


def anonymous_mb(pid: int) -> float:
    """Return the anonymous memory of a process in MB; 0 for one that has ended."""
    with suppress(OSError):
        match = re.search(r"^Anonymous:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(match[1]) / 1024 if match else 0.0
    return 0.0
