"""Repeat the paper's synthetic study, and write docs/study.md: python -m scripts.study [--quick]."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import UserError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for what the user can mend, 130 when interrupted."""
    options = parse(arguments)
    try:
        study(options)
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted; the same command goes on from what {options.work} holds.", file=sys.stderr)
        return INTERRUPTED
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.study", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 runs a cell instead of 200: minutes")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where study.md goes (default: docs)")
    parser.add_argument(
        "--work", type=Path, default=Path("build/study"), help="keeps finished runs (default: build/study)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    parser.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, help="processes on the CPU (default: one per core)"
    )
    parser.add_argument("--steps", type=_positive, help="of every run, instead of the study's own: to try things out")
    return parser.parse_args(arguments)


def study(options: argparse.Namespace) -> None:
    """Run what is missing, write the page, and say what came of it."""
    from tqdm import tqdm  # heavy imports wait until the command line is known to be right

    from model.claims import overall
    from model.laboratory import Laboratory
    from model.study import Recipe
    from model.study_plan import QUICK, Size, planned_run_steps, run_study
    from model.study_report import write_study
    from model.train import pick_device

    device = pick_device(options.device).type
    recipe = Recipe(steps=options.steps) if options.steps else Recipe()
    size = QUICK if options.quick else Size()
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    block = 50 if device == "cpu" else size.runs
    with tqdm(unit=" run-steps", unit_scale=True, desc="study", dynamic_ncols=True, smoothing=0.05) as bar:
        laboratory = Laboratory(options.work, device, block, options.workers, bar.update)
        bar.reset(planned_run_steps(laboratory, recipe, size))
        results = run_study(laboratory, recipe, size)
    page = write_study(options.out, results, _command(options), device)
    findings = results.findings()
    for claim in dict.fromkeys(finding.claim for finding in findings):
        print(f"{claim}: {overall([finding for finding in findings if finding.claim == claim])}")
    print(f"MMoE's gate similarity against p, Spearman: {results.gate_correlation()}")
    print(f"Report: {page}")


def _command(options: argparse.Namespace) -> str:
    words = ["python -m scripts.study", *(["--quick"] if options.quick else [])]
    return " ".join(words + ([f"--steps {options.steps}"] if options.steps else []))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _fail(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # a stopped container goes on as after Ctrl-C
    sys.exit(main())
