"""Bars of large tables, all parts or some: `python -m benchmarks.scale --only reading`.

Every part prints its figures beside its bars, and adds them to a file of results.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.bars import Verdict
from benchmarks.scale import record, service, story, streaming, trainers, training
from benchmarks.scale.setting import Setting, say

PARTS: dict[str, Callable[[Setting], Iterator[Verdict]]] = {
    "reading": streaming.reading,
    "ids": training.ids,
    "buffer": training.buffer,
    "trainers": trainers.trainers,
    "ranks": trainers.ranks,
    "service": service.service,
    "story": story.story,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print the table of their bars; return the exit status."""
    options = parse(arguments)
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as made:
        setting = Setting(options.scratch or Path(made), options.rows, repeats=options.repeats)
        for name in options.only:
            try:
                for verdict in PARTS[name](setting):
                    say(f"{name}: {verdict.bar}: {verdict.measured} ({verdict.required})")
                    record.append(options.out, name, verdict)
            except RuntimeError as error:
                say(f"{name}: stopped: {error}")
                failed = True
    print(record.table(options.out) if options.out.exists() else "nothing was measured")
    return 1 if failed else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run (all of them)")
    parser.add_argument("--rows", type=int, default=Setting.rows, help=f"of the large table ({Setting.rows})")
    parser.add_argument("--repeats", type=int, default=Setting.repeats, help=f"turns ({Setting.repeats})")
    parser.add_argument("--scratch", type=Path, help="folder for tables, kept for the next run (a temporary one)")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/scale.jsonl"), help="file that verdicts are added to"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
