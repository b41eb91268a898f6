"""Batch scoring beside `session.run`, one process, two, Ray: python -m benchmarks.scoring MODEL.

Rows are those of the census table again and again, in shuffled files of Parquet. Commands run one
after another, round by round, so that what else the machine does falls on all alike; CPU time is
that of a command and its processes, wall-clock time is printed beside it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from batch.coding import Coder
from batch.local import ONE_CORE
from batch.rows import RowReader
from batch.score import Request, prepare
from batch.scorer import Scorer, load
from tables.config import TableData
from tables.source import read_table

FILE_ROWS = 250_000
RUN_ROWS = 1024
"""Rows of a prepared block, as many as the service runs at once."""

MEASURE = """
import os, sys, time
began = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
print(used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command from a process that is small: Linux counts the memory of the process that starts
another as that one's too."""


def make_rows(table: pl.DataFrame, rows: int, folder: Path) -> Path:
    """Write so many rows as files of Parquet, numbers as numbers; returns their folder."""
    folder.mkdir(parents=True)
    for file, start in enumerate(range(0, rows, FILE_ROWS)):
        height = min(FILE_ROWS, rows - start)
        again = pl.concat([table] * (height // table.height + 1)).head(height)
        shuffled = again.sample(fraction=1.0, shuffle=True, seed=file)
        shuffled.with_columns(id=pl.int_range(start, start + height)).write_parquet(folder / f"{file:04}.parquet")
    return folder


def beside_session(model: Path, rows: Path, rounds: int) -> Iterator[float]:
    """Yield scoring's share of the rows/s of runs on prepared blocks of the same rows.

    By CPU time; reading, writing and all between count for scoring. The process has one core.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        job, _ = prepare(Request(model, (str(rows),), Path(folder)))
        scorer, predictor, reader = Scorer(job), load(job.model), RowReader(job.files, job.read)
        coder = Coder(predictor.manifest, job.reading, job.files.typed)
        for part in range(min(rounds + 1, job.parts)):
            batches = [coder.code(block) for block in reader.blocks(*job.span(part))]
            cut = [b.slice(start, start + RUN_ROWS) for b in batches for start in range(0, b.rows, RUN_ROWS)]
            prepared = [b._replace(complete=b.numeric is None or not np.isnan(b.numeric).any()) for b in cut]
            began = time.process_time()
            scorer.write(part)
            scored = time.process_time() - began
            began = time.process_time()
            for batch in prepared:
                predictor.run(batch)
            if part:  # the first one warms up
                yield (time.process_time() - began) / scored


def command(model: Path, rows: Path, output: Path, *options: str) -> tuple[float, float, float]:
    """Score; returns CPU seconds, wall-clock seconds and the largest process in MB."""
    words = [sys.executable, "-m", "scripts.score", str(model), str(rows), str(output), "--restart", *options]
    told = subprocess.run([sys.executable, "-c", MEASURE, *words], stdout=subprocess.PIPE, check=True, text=True).stdout
    cpu, wall, memory = map(float, told.split())
    return cpu, wall, memory


def census(config: Path) -> pl.DataFrame:
    """Read the census table as its configuration says, numbers as numbers."""
    text = tomllib.loads(config.read_text())
    table, _ = read_table(TableData.model_validate(text["data"]))
    return table.frame.with_columns(pl.col(text["features"]["numeric"]).cast(pl.Int64))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the rows, measure, and print each figure with its rounds."""
    parser = argparse.ArgumentParser("python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("model", type=Path, help="trained on scripts/configs/census_income.toml")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=0, help="rows of the large table, such as 10_000_000; 0 for none")
    parser.add_argument("--ray", action="store_true", help="also by Ray, two actors, on the largest table")
    options = parser.parse_args(arguments)
    os.environ.update(ONE_CORE)  # this process, as those that score; polars reads it once
    table = census(Path("scripts/configs/census_income.toml"))
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as work:
        folder, cores = Path(work), os.sched_getaffinity(0)
        rows = make_rows(table, options.rows, folder / "rows")
        shares = list(beside_session(options.model, rows, options.rounds))
        os.sched_setaffinity(0, cores)
        for name in ONE_CORE:
            del os.environ[name]
        print(f"of session.run, by CPU time: {median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f})")
        one, two = [], []
        for _ in range(options.rounds):
            one.append(command(options.model, rows, folder / "out", "--processes", "1"))
            two.append(command(options.model, rows, folder / "out", "--processes", "2"))
        wall = [a[1] / b[1] for a, b in zip(one, two, strict=True)]
        cpu = [2 * a[0] / b[0] for a, b in zip(one, two, strict=True)]
        print(f"two processes over one: {median(wall):.2f} by the clock, {median(cpu):.2f} by CPU time were both free")
        if not options.large:
            return
        large = make_rows(table, options.large, folder / "large")
        whole = command(options.model, large, folder / "out", "--processes", "2")
        small = command(options.model, rows, folder / "out", "--processes", "2")
        print(f"largest process: {small[2]:.0f} MB, and {whole[2]:.0f} MB with {options.large:,} rows")
        print(f"{options.large:,} rows, two processes: {whole[0]:.0f} s of CPU, {whole[1]:.0f} s")
        if options.ray:
            ray = command(options.model, large, folder / "out", "--processes", "2", "--ray")
            print(f"by Ray, two actors: {ray[1]:.0f} s, {whole[1] / ray[1]:.2f} of two processes")


if __name__ == "__main__":
    main()
