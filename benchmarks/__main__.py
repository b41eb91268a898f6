"""Compare servers of the same model: `python -m benchmarks`, or `make bench`."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import beside, cases, plot, report
from benchmarks.artifacts import Artifact, ArtifactMissing, find_or_train
from benchmarks.bars import Extras
from benchmarks.cases import Case
from benchmarks.contenders import Contender, by_hand, floor, service
from benchmarks.load import LoadError
from benchmarks.peers import installed
from benchmarks.results import Measurement
from benchmarks.servers import ServerFailed
from benchmarks.suite import Cores, Suite

PARTS = ("cases", "beside")


def main() -> int:
    """Run the suite, print the bars, write the report; return the exit status."""
    options = arguments()
    results: list[Measurement] = []
    extras = Extras()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        try:
            for model in dict.fromkeys(case.model for case in chosen_cases(options)):
                suite = _suite(model, options, Path(scratch))
                if suite is None:
                    continue
                if "cases" in options.parts:
                    results += _run_cases(suite, options)
                if "beside" in options.parts and model == cases.DEMO:
                    extras = beside.measure(suite, contenders(suite.artifact, options.peers), options.repeats)
        except (LoadError, ServerFailed) as error:
            print(f"stopped: {error}", file=sys.stderr)
            return 1
    run = report.SuiteResults("python -m benchmarks " + " ".join(sys.argv[1:]), report.machine(), results, extras)
    verdicts = report.write(run, options.out)
    plot.draw(results, options.out / "results.png")
    print(f"\n{report.bars_table(verdicts)}\n\nTables and plot: {options.out}/results.md, .csv, .json, .png")
    return 0


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the cases that the bars need")
    parser.add_argument("--seconds", type=int, default=3, help="length of each burst of load (3)")
    parser.add_argument("--repeats", type=int, default=3, help="how often every case is measured (3)")
    parser.add_argument("--peers", action="store_true", help="other servers too, those of benchmarks/peers installed")
    parser.add_argument("--only", default="", metavar="WORDS", help="only cases that contain this, such as 'lists, 1 '")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="cases, what is beside them, or both")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where trained models are, or will be")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where table and plot are written")
    return parser.parse_args(given)


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    """List the cases that the command line asks for."""
    grid = cases.QUICK if options.quick else cases.full()
    if options.peers:
        grid = tuple(dict.fromkeys((*grid, *cases.PEERS)))
    return [case for case in grid if options.only in str(case)]


def contenders(artifact: Artifact, peers: bool) -> list[Contender]:
    """List the servers to compare.

    This service comes first, since its answers set the size of the floor's.
    """
    own = [service(artifact), floor(artifact), by_hand(artifact)]
    return own + installed(artifact) if peers else own


def cores() -> Cores:
    """Take one core for the server and another for the load, of those this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        print("only one core: server and load share it, so the figures say little", flush=True)
    return Cores(frozenset(allowed[:1]), frozenset(allowed[-1:]))


def _suite(model: str, options: argparse.Namespace, scratch: Path) -> Suite | None:
    try:
        artifact = find_or_train(model, options.models, scratch)
    except ArtifactMissing as error:
        print(f"left out: {model}: {error}", flush=True)
        return None
    return Suite(artifact, scratch, cores(), options.seconds, lambda text: print(text, flush=True))


def _run_cases(suite: Suite, options: argparse.Namespace) -> list[Measurement]:
    own = [case for case in chosen_cases(options) if case.model == suite.artifact.name]
    with suite.start(contenders(suite.artifact, options.peers)) as entries:
        return suite.run(entries, own, options.repeats)


if __name__ == "__main__":
    sys.exit(main())
