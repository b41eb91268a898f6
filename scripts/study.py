"""Repeat a study: python -m scripts.study [synthetic|census|hotel|defaults] [--quick]."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.command import INTERRUPTED, count, fail, interrupt_on_sigterm
from tables.errors import DataError, UserError

if TYPE_CHECKING:  # heavy imports wait until the command line is known to be right
    from model.config.run import Config
    from model.study.tables.comparison import Comparison

CONFIGS = Path(__file__).parent / "configs"
TRIALS = Path("build/study-page")
"""Directory for the pages of smaller studies, which do not replace those of the whole ones."""
TABLES = {"census": ("census_income", "census_education"), "hotel": ("hotel",)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns its exit code: 0, 2 for what the user can mend, 130 when interrupted.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads sleep, and leave the cores to others
    options = parse(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        options.work.mkdir(parents=True, exist_ok=True)
        {"synthetic": synthetic, "defaults": defaults}.get(options.study, tables)(options)
    except (UserError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        print(f"\nInterrupted; the same command goes on from what {options.work} holds.", file=sys.stderr)
        return INTERRUPTED
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m scripts.study", description=__doc__)
    parser.add_argument(
        "study", nargs="?", default="synthetic", choices=("synthetic", "defaults", *TABLES), help="default: synthetic"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="20 runs a cell instead of 200, in about two minutes; on a table 3 seeds instead of 10",
    )
    parser.add_argument(
        "--out", type=Path, help=f"where the page goes (default: docs, and {TRIALS} unless the study is whole)"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/study"), help="keeps finished runs (default: build/study)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    parser.add_argument(
        "--workers", type=count, default=os.cpu_count() or 1, help="processes on the CPU (default: one per core)"
    )
    parser.add_argument("--steps", type=count, help="of every synthetic run, to try things out")
    parser.add_argument("--seeds", type=count, help="of every model on a real table, to try things out")
    options = parser.parse_args(arguments)
    on_table = options.study != "synthetic"
    if on_table and (options.steps or options.device == "cuda"):
        parser.error("--steps and --device cuda belong to the synthetic study; runs on tables take neither")
    if options.seeds and not on_table:
        parser.error("--seeds belongs to a study on a table: census or hotel")
    options.out = options.out or (TRIALS if options.quick or options.steps or options.seeds else Path("docs"))
    return options


def synthetic(options: argparse.Namespace) -> None:
    """Run what is missing, write the page, and say what came of it."""
    from tqdm import tqdm

    from model.study.claims import overall
    from model.study.synthetic.cells import Recipe
    from model.study.synthetic.page import write_study
    from model.study.synthetic.plan import QUICK, Size, planned_run_steps, run_study
    from model.study.synthetic.runner import CellRunner
    from model.training.train import pick_device

    device = pick_device(options.device).type
    recipe = Recipe(steps=options.steps) if options.steps else Recipe()
    size = QUICK if options.quick else Size()
    # On the CPU, blocks that fit the caches; --quick then makes the first block of a full study.
    block = QUICK.runs if device == "cpu" else size.runs
    with tqdm(unit=" run-steps", unit_scale=True, desc="study", dynamic_ncols=True, smoothing=0.05) as bar:
        runner = CellRunner(options.work, device, block, options.workers, bar.update)
        bar.reset(planned_run_steps(runner, recipe, size))
        results = run_study(runner, recipe, size)
    page = write_study(options.out, results, _command(options), device)
    findings = results.findings()
    for claim in dict.fromkeys(finding.claim for finding in findings):
        print(f"{claim}: {overall([finding for finding in findings if finding.claim == claim])}")
    print(f"MMoE's gate similarity against p, Spearman: {results.gate_correlation()}")
    print(f"Report: {page}")


def tables(options: argparse.Namespace) -> None:
    """Compare the architectures on the tables of a study, and write the page."""
    from tqdm import tqdm

    from model.study.tables.comparison import TableRunner, runs_of
    from model.study.tables.page import verdicts, write_comparisons

    seeds = options.seeds or (3 if options.quick else 10)
    configs, remarks = _configs(options.study, options.work)
    comparisons: list[Comparison] = []
    planned = [runs_of(config, seeds) for config in configs]
    with tqdm(total=sum(planned), unit=" runs", desc=options.study, dynamic_ncols=True) as bar:
        for number, config in enumerate(configs, start=1):
            comparisons.append(TableRunner(config, options.work, options.workers, bar.update).compare(seeds))
            bar.update(sum(planned[:number]) - bar.n)  # what was on disk already
    page = options.out / f"{options.study}.md"
    write_comparisons(page, f"The four architectures on {options.study}", comparisons, remarks, _command(options))
    for comparison in comparisons:
        for words, verdict in verdicts(comparison):
            print(f"{comparison.name}: {words}: {verdict}")
    print(f"Report: {page}")


def defaults(options: argparse.Namespace) -> None:
    """Set the defaults beside trees on real tables, and write the page."""
    from tqdm import tqdm

    from model.study.defaults.page import meets_bar, write_defaults
    from model.study.defaults.runs import run_table
    from model.study.defaults.tables import study_tables
    from model.study.tables.trees import why_missing

    if reason := why_missing():
        raise DataError(reason)
    most = options.seeds or (3 if options.quick else None)
    planned = {table: min(most or table.splits, table.splits) for table in study_tables()}
    found = []
    with tqdm(total=sum(planned.values()), unit=" splits", desc="defaults", dynamic_ncols=True) as bar:
        for table, splits in planned.items():
            found.append((table, run_table(table, splits, options.work, options.workers, bar.update)))
    page = options.out / "defaults.md"
    write_defaults(page, found, _command(options))
    for table, runs in found:
        for task in runs[0].kinds:
            print(f"{table.name}, {task}: {'meets' if meets_bar(runs, task) else 'misses'} the bar")
    print(f"Report: {page}")


def _configs(study: str, work: Path) -> tuple[list["Config"], str]:
    """Return the configurations of a study's tables, and the page's remarks on the data.

    They leave the network and its training open, so that the tables choose.
    """
    from model.config.run import ModelConfig, TrainConfig, load_config
    from model.study.paper import CENSUS_TRAINING_BLOB
    from model.study.tables.census_split import TRAINING_FILES, find_training_file, paper_split

    directory = Path(os.environ.get("MMOE_DATA", ".")) / study
    if not directory.is_dir():
        raise DataError(f"{directory} is not there; set MMOE_DATA to the directory that holds {study}/")
    left_open = {"model": ModelConfig(), "train": TrainConfig()}
    configs = [load_config(CONFIGS / f"{name}.toml").model_copy(update=left_open) for name in TABLES[study]]
    if study != "census":
        return configs, ""
    training, test = find_training_file(directory), directory / "census-income.test.gz"
    if training is not None:
        joined = [paper_split(config, training, test, work) for config in configs]
        return joined, "On the paper's own split: its training file, and the test file halved at random."
    return configs, (
        "On a split of the archive's test file (99,762 rows), which is not the paper's split: the paper's figures "
        f"are there for orientation. For the paper's own split, put the archive's training file ({TRAINING_FILES[1]}, "
        f"or {TRAINING_FILES[0]}; git's id {CENSUS_TRAINING_BLOB}) beside the test file."
    )


def _command(options: argparse.Namespace) -> str:
    words = ["python -m scripts.study", *([] if options.study == "synthetic" else [options.study])]
    words += ["--quick"] if options.quick else []
    words += [f"--{name} {value}" for name in ("steps", "seeds") if (value := getattr(options, name))]
    return " ".join(words)


if __name__ == "__main__":
    interrupt_on_sigterm()
    sys.exit(main())
