"""Memory that is held after blocks of text have gone by."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells anonymous memory")
MEASURE = """
import polars as pl
from tables.source import Table
import numpy as np

ROWS, BLOCKS = 50_000, 25

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024

def blocks():
    for block in range(BLOCKS):
        numbers = np.arange(ROWS)
        usual = pl.Series(numbers[1:] % 50).cast(pl.String) + " " + "text " * 20
        text = pl.concat([pl.Series([f"text of block {block} alone"]), usual], rechunk=True)
        yield Table(pl.DataFrame({"row": numbers, "text": text}), numbers + block * ROWS + 1)

for before in blocks():  # what the allocator keeps of one block by itself
    pass
del before
start = anonymous()
"""


def held_mb(code: str) -> float:
    """Measure the memory that code takes, in MB, beyond what reading the blocks takes.

    Args:
        code: what to run, in a process of its own; `blocks()` makes 25 tables of 50,000 rows, each
            with a column `row` from 0 and 5 MB in a column `text`: 50 values, and that of row 0,
            which is in no other block.
    """
    program = f"{MEASURE}\n{code}\nprint(anonymous() - start)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "POLARS_MAX_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return float(run.stdout)
