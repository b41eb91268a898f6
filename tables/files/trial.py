"""Trial reading of typed files in a process of its own, a file ahead of the rows that are used."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tables.errors import DataError, Where
from tables.files import table_probe
from tables.files.typed_files import TypedKind, damaged


class Trial:
    """Process that reads files when it is told to; `table_probe` says why.

    A file is tried once. `begin` starts on one, `end` waits for what came of it.
    """

    def __init__(self, rows: bool) -> None:
        """Start no process yet.

        Args:
            rows: whether to read all values, or what the file says of itself.
        """
        self._mode = "rows" if rows else "schema"
        self._process: subprocess.Popen[str] | None = None
        self._begun: list[Path] = []
        self._good: set[Path] = set()

    def begin(self, path: Path, kind: TypedKind) -> None:
        """Start to read a file, unless it was begun before."""
        if path in self._begun or path in self._good:
            return
        if self._process is None:
            command = [sys.executable, "-P", table_probe.__file__, self._mode]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        self._begun.append(path)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(path), kind]) + "\n")
        self._process.stdin.flush()

    def end(self, path: Path, kind: TypedKind, where: Where) -> None:
        """Wait until a file is read, and those begun before it.

        Raises:
            DataError: it cannot be read.
        """
        self.begin(path, kind)
        assert self._process is not None or path in self._good
        while path in self._begun:
            assert self._process is not None
            assert self._process.stdout is not None
            answer = self._process.stdout.readline()
            tried = self._begun.pop(0)
            if answer.strip() == '""':
                self._good.add(tried)
                continue
            if tried == path:
                raise DataError(f"{where}: {damaged(kind, json.loads(answer) if answer.strip() else '')}")
            self.close()
            self.begin(path, kind)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process, self._begun = None, []


@contextmanager
def trial(rows: bool) -> Iterator[Trial]:
    """Start a trial that ends with the block."""
    one = Trial(rows)
    try:
        yield one
    finally:
        one.close()
