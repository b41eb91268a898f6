"""An evaluation from logs to files: joined rows, quality.json, a page; whole or not at all."""

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch.quality.errors import EvaluationError
from batch.quality.judge import Rules, joints_above_parents, judge
from batch.quality.logs import Logs, opened
from batch.quality.models import Versions
from batch.quality.page import write_page

RESULT = "quality.json"


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a model's logs.

    Attributes:
        model: its versions.
        predictions: directories of prediction logs.
        labels: directories of label logs.
        out: directory under which the result has a folder of the model's name.
        segments: features by whose values rows are divided; the logs must hold them.
        rules: of the judgement.
    """

    model: Versions
    predictions: Sequence[Path]
    labels: Sequence[Path]
    out: Path
    segments: Sequence[str] = ()
    rules: Rules = field(default_factory=Rules)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Wait until nobody else writes results to a directory, and let others wait meanwhile."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def evaluate(evaluation: Evaluation, say: Callable[[str], None]) -> dict[str, Any]:
    """Join and judge; what is published was finished, and replaces an earlier result at once.

    Args:
        evaluation: of which logs, and how.
        say: told what is left out.

    Raises:
        EvaluationError: no logs, no model, or a segment that is not a feature.
    """
    name = evaluation.model.name
    scratch = evaluation.out / f".{name}-unfinished"
    with alone(evaluation.out):
        shutil.rmtree(scratch, ignore_errors=True)  # of a killed evaluation
        scratch.mkdir()
        try:
            with opened(name, evaluation.predictions, evaluation.labels, scratch) as logs:
                report = _report(evaluation, name, logs, scratch, say)
            (scratch / RESULT).write_text(json.dumps(report, allow_nan=False, indent=1), encoding="utf-8")
            write_page(report, scratch)
            _publish(scratch, evaluation.out / name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return report


def _report(evaluation: Evaluation, name: str, logs: Logs, scratch: Path, say: Callable[[str], None]) -> dict[str, Any]:
    versions = []
    for version in logs.versions():
        try:
            manifest = evaluation.model.read(version, scratch)
        except EvaluationError as error:
            say(f"Version {version} is left out: {error}.")
            continue
        if unknown := sorted(set(evaluation.segments) - set(manifest.feature_names)):
            raise EvaluationError(f"--segment {unknown[0]!r} is not a feature of {name} {version}")
        rows = logs.joined(version, manifest, evaluation.segments, scratch / f"rows-{version}.parquet")
        if rows.left_out:
            say(f"Version {version}: {rows.left_out:,} rows are left out, of other tasks or experts than it has.")
        if not rows.rows:
            continue
        if rows.rows > len(rows.times):
            say(f"Version {version}: {len(rows.times):,} of {rows.rows:,} rows are measured, a sample.")
        versions.append(
            {
                "version": version,
                "rows": rows.rows,
                "measured_rows": len(rows.times),
                "joints_above_parents": joints_above_parents(manifest, rows),
                "tasks": judge(manifest, rows, evaluation.rules),
            }
        )
    if not versions:
        raise EvaluationError(f"the logs hold no prediction of a version of {name} in {evaluation.model}")
    return {
        "model": name,
        "time_utc": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "by": evaluation.rules.by,
        "min_rows": evaluation.rules.min_rows,
        "records": logs.counts()._asdict(),
        "versions": versions,
    }


def _publish(scratch: Path, target: Path) -> None:
    """Move the files into place, the JSON last, which names what is the result."""
    target.mkdir(parents=True, exist_ok=True)
    made = [path for path in scratch.iterdir() if path.is_file()]
    for path in sorted(made, key=lambda path: path.name == RESULT):
        path.replace(target / path.name)
    for old in target.iterdir():
        if old.name not in {path.name for path in made}:
            old.unlink()
