"""Score a table by a model: python -m scripts.score models/NAME rows.parquet predictions/."""

import argparse
import importlib.util
import os
import sys
import tomllib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from batch.job import Columns, Job
from batch.local import score_parts
from batch.progress import Progress
from batch.score import PART_ROWS, Request, score
from scripts.command import INTERRUPTED, count, fail, interrupt_on_sigterm, say
from tables.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns its exit code: 0, 2 for what the user can mend, 130 when interrupted.
    """
    options = parse(arguments)
    try:
        request = _request(options)
        summary = score(request, partial(_run, options), say, lambda rows, done: Progress(rows, done).add)
    except (UserError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from the parts that are whole.", file=sys.stderr)
        return INTERRUPTED
    aside = f"; {summary.set_aside:,} set aside in {options.errors}" if options.errors is not None else ""
    print(
        f"Scored {summary.rows:,} rows into {summary.parts} part{'s' * (summary.parts != 1)} of {options.output}{aside}"
    )
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.score", description=__doc__)
    parser.add_argument("model", type=Path, help="model.onnx, a version's directory, or models/NAME: its highest")
    parser.add_argument(
        "input", nargs="+", help="files, folders, patterns or addresses of object stores: one table (docs/tables.md)"
    )
    parser.add_argument("output", type=Path, help="folder of Parquet parts; an unfinished one is gone on with")
    parser.add_argument(
        "--keep", type=_names, default={}, metavar="A,NEW=B", help="columns to carry over as they are, or renamed"
    )
    parser.add_argument("--gates", action="store_true", help="also each task's gate weights, as lists")
    parser.add_argument("--top-expert", action="store_true", help="also each task's expert of the largest gate weight")
    parser.add_argument(
        "--contributions", type=count, default=0, metavar="K", help="also the K features that speak most for that one"
    )
    parser.add_argument(
        "--errors", type=Path, metavar="FILE", help="set rows that cannot be scored aside in a CSV, and go on"
    )
    parser.add_argument("--processes", type=count, default=0, metavar="N", help="of a core each (default: all cores)")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="run as a job of Ray Data, by itself or on the cluster there (extra ray); --processes is its actors",
    )
    parser.add_argument(
        "--part-rows", type=count, default=PART_ROWS, metavar="N", help="rows of each part (default: %(default)s)"
    )
    parser.add_argument("--restart", action="store_true", help="remove the parts of an earlier run first")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="key of [data] in docs/config.md where the table is written otherwise than the training table: "
        "'separator=\";\"'",
    )
    return parser.parse_args(arguments)


def _request(options: argparse.Namespace) -> Request:
    columns = Columns(options.keep, options.gates, options.top_expert, options.contributions)
    return Request(
        options.model,
        tuple(options.input),
        options.output,
        columns,
        _changes(options.set),
        options.errors,
        options.part_rows,
        options.restart,
    )


def _run(options: argparse.Namespace, job: Job, parts: Sequence[int]) -> Iterable[tuple[int, int]]:
    if options.ray is None:
        return score_parts(job, parts, options.processes or len(os.sched_getaffinity(0)))
    if any(importlib.util.find_spec(name) is None for name in ("ray", "pyarrow")):
        raise UserError("--ray needs Ray; install the extra: pip install '.[train,ray]'")
    from batch.on_ray import score_on_ray

    return score_on_ray(job, parts, options.ray, options.processes)


def _changes(pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs, values as in TOML; what is not TOML is text."""
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair}: expected KEY=VALUE")
        try:
            changes[key.strip().removeprefix("data.")] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip().removeprefix("data.")] = value
    return changes


def _names(text: str) -> dict[str, str]:
    """Read names of columns, or NEW=NAME, with commas between them."""
    names: dict[str, str] = {}
    for given in filter(None, map(str.strip, text.split(","))):
        new, equals, name = given.partition("=")
        names[new.strip()] = name.strip() if equals else given
    return names


if __name__ == "__main__":
    interrupt_on_sigterm()
    sys.exit(main())
