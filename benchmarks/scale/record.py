"""Record of verdicts: a line of JSON each, and the table of the latest of every bar."""

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bars import Verdict
from benchmarks.report import bars_table, machine
from benchmarks.scale.setting import load


def append(path: Path, part: str, verdict: Verdict) -> None:
    """Write a verdict behind those that are there, with time, machine and load."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"part": part, "when": datetime.now(UTC).isoformat(timespec="seconds"), "load": load()}
    about["machine"] = f"{machine()['processor']}, {platform.system()} {platform.release()}"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(about | asdict(verdict)) + "\n")


def table(path: Path) -> str:
    """Write the latest verdict of every bar as a table of Markdown."""
    latest: dict[str, Verdict] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        latest[found["bar"]] = Verdict(found["bar"], found["required"], found["measured"], found["met"])
    return bars_table(list(latest.values()))
