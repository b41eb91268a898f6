"""Compare servers of the same model: `python -m benchmarks`, or `make bench`."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import cases as grid
from benchmarks.artifacts import ArtifactMissing, find_or_train
from benchmarks.contenders import by_hand, floor, service
from benchmarks.load import LoadError
from benchmarks.results import Measurement
from benchmarks.servers import ServerFailed
from benchmarks.suite import Cores, Suite


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the cases that the bars need")
    parser.add_argument("--seconds", type=int, default=3, help="length of each burst of load (3)")
    parser.add_argument("--repeats", type=int, default=3, help="how often every case is measured (3)")
    parser.add_argument("--only", default="", help="only servers and cases whose words hold this, such as lists")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where trained models are, or will be")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where table and plot are written")
    return parser.parse_args()


def measure(options: argparse.Namespace, scratch: Path) -> list[Measurement]:
    """Measure all cases, model by model."""
    chosen = [case for case in (grid.QUICK if options.quick else grid.full()) if options.only in str(case)]
    results: list[Measurement] = []
    for model in dict.fromkeys(case.model for case in chosen):
        try:
            artifact = find_or_train(model, options.models, scratch)
        except ArtifactMissing as error:
            print(f"left out: {model}: {error}", flush=True)
            continue
        suite = Suite(artifact, scratch, cores(), options.seconds, lambda text: print(text, flush=True))
        with suite.start([service(artifact), floor(artifact), by_hand(artifact)]) as entries:
            results += suite.run(entries, [case for case in chosen if case.model == model], options.repeats)
    return results


def cores() -> Cores:
    """Take one core for the server and another for the load, of those this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        print("only one core: server and load share it, so the figures say little", flush=True)
    return Cores(frozenset(allowed[:1]), frozenset(allowed[-1:]))


def main() -> int:
    """Run the suite; return the exit status."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        try:
            measure(options, Path(scratch))
        except (LoadError, ServerFailed) as error:
            print(f"stopped: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
