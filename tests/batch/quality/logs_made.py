"""Logs made by hand: predictions of the model `hand`, and labels, as the service writes them."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

START = 1_790_000_000
CLASSES, EXPERTS = 3, 4


def at(seconds: float) -> str:
    """Write a moment as the logs have it."""
    whole, fraction = divmod(round(seconds * 1e6), 1_000_000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(whole))}.{fraction:06d}"


def prediction(number: int, random: np.random.Generator, **changes: Any) -> dict[str, Any]:
    """Make the record of a row of `hand`."""
    gates = random.dirichlet([1.0] * EXPERTS, 3).round(4)
    grades = random.dirichlet([1.0] * CLASSES).round(4)
    answers: list[list[float]] = [[round(random.normal(), 4)], [round(random.random(), 4)], grades.tolist()]
    tasks = [
        {"task": task, "prediction": answer, "gate_weights": weights.tolist()}
        for task, answer, weights in zip(("price", "sold", "grade"), answers, gates, strict=True)
    ]
    record = {
        "time_utc": at(START + 60 * number), "request_id": f"r{number // 3}", "trace_id": "", "key": "",
        "model": "hand", "version": 2, "row": number % 3, "tasks": tasks,
        "features": [{"feature": "colour", "value": ["re|d", "blue", ""][number % 3]},
                     {"feature": "age", "value": str(number % 50)}],
    }  # fmt: skip
    return record | changes


def label(of: dict[str, Any], delay_s: float, by_key: bool = False, **values: float) -> dict[str, Any]:
    """Make the record of labels of a prediction, so many seconds after it."""
    seconds = float(time.mktime(time.strptime(of["time_utc"][:19], "%Y-%m-%d %H:%M:%S")) - time.timezone)
    name = {"request_id": "", "key": of["key"], "row": 0} if by_key else {
        "request_id": of["request_id"], "key": "", "row": of["row"]
    }  # fmt: skip
    labels = [{"task": task, "value": value} for task, value in values.items()]
    return {"time_utc": at(seconds + delay_s), "model": of["model"], **name, "labels": labels}


def write(directory: Path, records: Iterable[dict[str, Any]], files: int = 1) -> Path:
    """Deal records out to the files of a log."""
    directory.mkdir(parents=True, exist_ok=True)
    lines: Sequence[str] = [json.dumps(record, separators=(",", ":")) + "\n" for record in records]
    for file in range(files):
        (directory / f"rows-{file}-00000001.jsonl").write_text("".join(lines[file::files]))
    return directory
