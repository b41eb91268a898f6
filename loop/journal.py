"""Journal of a loop: one JSON line a decision, and the sentences that a person reads."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = "journal.jsonl"
MARKS = {"kept": "kept", "broken": "BROKEN", "too few rows": "open", "not applicable": "left out"}


class Journal:
    """Journal in a directory.

    Lines are numbered, so that a run that was killed between a line and its state writes none
    twice.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def write(self, number: int, facts: Mapping[str, Any]) -> None:
        """Append a line, unless there is one of this number."""
        if number <= self.last():
            return
        record = {"line": number, "time_utc": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), **facts}
        with self._path.open("a+b") as file:
            if (end := file.seek(0, os.SEEK_END)) and os.pread(file.fileno(), 1, end - 1) != b"\n":
                file.write(b"\n")  # after a line that was cut off
            file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Read all lines; one that a full disk cut off is passed over."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record

    def last(self) -> int:
        """Return the number of the last line; 0 where there is none."""
        return max((int(record.get("line", 0)) for record in self.records()), default=0)


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Tell a line as a sentence, and one below it for each finding that it rests on."""
    head = f"{record['time_utc']}  {record['says']}."
    return [head, *(f"{'':21}{told(finding)}" for finding in record.get("findings", ()))]


def told(finding: Mapping[str, Any]) -> str:
    """Tell a finding of a rule."""
    about = f" of {finding['about']}" if finding["about"] else ""
    return f"{MARKS[finding['state']]}: {finding['rule']}{about}: {finding['says']}"
