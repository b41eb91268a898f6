"""Memory that is held after blocks of text have gone by."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tables.source import Table

STATUS = Path("/proc/self/status")
LINUX = pytest.mark.skipif(not STATUS.exists(), reason="Linux tells anonymous memory")
ROWS, BLOCKS = 50_000, 25

MEASURE = """
import numpy as np
import polars as pl
from tables.source import Table
from tests.support.text_blocks import BLOCKS, ROWS, anonymous_mb, blocks

for before in blocks():  # what the allocator keeps of one block by itself
    pass
del before
start = anonymous_mb()
"""


def anonymous_mb() -> float:
    """Return the anonymous memory of this process in MB."""
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("RssAnon")) / 1024


def blocks() -> Iterator[Table]:
    """Make tables with a column `row` from 0 and 5 MB in a column `text`.

    That has 50 values, and in row 0 one that no other block has.
    """
    numbers = np.arange(ROWS)
    for block in range(BLOCKS):
        usual = pl.Series(numbers[1:] % 50).cast(pl.String) + " " + "text " * 20
        text = pl.concat([pl.Series([f"text of block {block} alone"]), usual], rechunk=True)
        yield Table(pl.DataFrame({"row": numbers, "text": text}), numbers + block * ROWS + 1)


def run_alone(program: str, *arguments: str, **variables: str) -> str:
    """Run a program in a process of its own, with more environment; returns what it prints."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | variables
    run = subprocess.run([sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def held_mb(code: str) -> float:
    """Measure the memory that code takes, in MB, beyond what reading the `blocks` takes."""
    program = f"{MEASURE}\n{code}\nprint(anonymous_mb() - start)"
    return float(run_alone(program, POLARS_MAX_THREADS="1"))  # each thread keeps some of what it has freed
