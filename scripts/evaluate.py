"""Judge a model by its logs and the labels that came back: python -m scripts.evaluate MODEL ..."""

import argparse
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.command import fail, minutes
from tables.errors import UserError

MISSING = "evaluation needs the extra: pip install -c constraints.txt -e '.[evaluate]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code, 2 for what the user can mend."""
    options = parse(arguments)
    try:
        return _repeated(options) if options.every else _once(options)
    except (UserError, OSError) as error:
        return fail(error)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.evaluate", description=__doc__)
    places = "directories of versions, here or in an object store: models/census, 'models/*', 's3://bucket/models/*'"
    parser.add_argument("models", nargs="+", metavar="MODEL", help=places)
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="directories of prediction logs")
    parser.add_argument("--labels", type=Path, nargs="+", default=[], help="directories of label logs")
    parser.add_argument("--out", type=Path, default=Path("quality"), help="where <model>/quality.json goes")
    parser.add_argument("--by", choices=("hour", "day"), default="day", help="period of the table over time")
    parser.add_argument("--segment", action="append", default=[], metavar="FEATURE", help="divide rows by its values")
    parser.add_argument("--min-rows", type=int, default=100, help="labelled rows below which nothing is concluded")
    parser.add_argument("--margin", type=float, default=0.02, help="AUC may be so much below that of the test rows")
    parser.add_argument("--every", type=minutes, default=0.0, metavar="MINUTES", help="do it again and again")
    parser.add_argument("--erase", metavar="KEY", help="overwrite the rows of this key in the logs first")
    return parser.parse_args(arguments)


def _once(options: argparse.Namespace) -> int:
    try:
        from batch.quality.erase import erase, erase_joined
        from batch.quality.evaluation import Evaluation, alone, evaluate
        from batch.quality.judge import Rules
        from batch.quality.models import find_models
    except ModuleNotFoundError as error:
        if error.name in ("duckdb", "sklearn", "matplotlib"):
            raise UserError(MISSING) from None
        raise
    if options.erase is not None:
        with alone(options.out):
            erased = erase(options.erase, options.predictions, options.labels)
            files = erase_joined(options.erase, options.out)
        print(f"Erased {erased.predictions} predictions and {erased.labels} rows of labels.")
        print("".join(f"Deleted {file}, which held them joined.\n" for file in files), end="", flush=True)
    rules = Rules(options.by, options.min_rows, options.margin)
    faults = []
    for model in find_models(options.models):
        given = model, options.predictions, options.labels, options.out, options.segment, rules
        try:
            report = evaluate(Evaluation(*given), lambda line: print(line, file=sys.stderr))
        except UserError as error:  # the others are judged all the same
            faults.append(str(error))
            continue
        _tell(report, options.out / report["model"])
    if faults:
        raise UserError("; ".join(faults))
    return 0


def _tell(report: Mapping[str, Any], path: Path) -> None:
    for version in report["versions"]:
        for task in version["tasks"]:
            state = task["verdict"]["state"]
            print(f"{report['model']} {version['version']} {task['task']}: {task['labelled']} labelled rows, {state}")
    print(f"Written to {path}: quality.json, report.md", flush=True)


def _repeated(options: argparse.Namespace) -> int:
    """Evaluate on an interval until SIGTERM; logs that are not there yet are waited for."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.is_set():
        try:
            _once(options)
        except (UserError, OSError) as error:
            print(f"Not evaluated: {error}", file=sys.stderr, flush=True)
        options.erase = None
        ended.wait(options.every * 60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
