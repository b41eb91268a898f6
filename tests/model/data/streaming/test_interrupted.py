"""Passes that end at any moment, without a chance to clean up, and start again."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.data.streaming.place import CACHE, MANIFEST
from tests.support.streamed_tables import assert_same, config_of, made, streamed

ENDED = 9

CHILD = """
import os, sys
from pathlib import Path
from tables import blocks
from tests.support.streamed_tables import config_of, streamed

blocks.BLOCK_ROWS, left = 256, int(sys.argv[3])
blocks.blocks_of.__defaults__ = (256,)
whole = blocks.Files.blocks

def until(files, columns=None, start_row=0):
    global left
    for block in whole(files, columns, start_row):
        if left == 0:
            os._exit(9)
        left -= 1
        yield block

blocks.Files.blocks = until
path, work = map(Path, sys.argv[1:3])
streamed(config_of(path), work)
"""
"""Reads a table, and ends at once before a block, counted over all passes."""

BLOCKS = 12
"""Blocks of a pass."""


def read_until(block: int, path: Path, work: Path) -> int:
    """Read a table in a process of its own that ends before a block; returns its status."""
    command = [sys.executable, "-c", CHILD, str(path), str(work), str(block)]
    return subprocess.run(command, check=False, capture_output=True, timeout=120).returncode


@pytest.mark.usefixtures("small_blocks")
def test_passes_that_were_ended_start_clean(tmp_path: Path) -> None:
    """One table is read by processes that die in the first pass and in the second, then wholly."""
    path, work = tmp_path / "t.parquet", tmp_path / "work"
    made().write_parquet(path)
    whole = streamed(config_of(path), tmp_path / "whole")
    first = BLOCKS + 1  # the split's column is looked through until a row for validation: one block
    for block in (3, first + 5, first + BLOCKS - 1):
        assert read_until(block, path, work) == ENDED
        assert (work / CACHE).exists() == (block > first)
        assert not (work / CACHE / MANIFEST).exists()
    assert_same(streamed(config_of(path), work), whole)
    written = (work / CACHE / MANIFEST).stat().st_mtime_ns
    assert read_until(0, path, work) == 0  # no block is read again
    assert (work / CACHE / MANIFEST).stat().st_mtime_ns == written


@pytest.mark.usefixtures("small_blocks")
def test_an_old_cache_is_gone_before_the_second_pass_writes(tmp_path: Path) -> None:
    """A cache of another configuration is not a danger, wherever the next one is interrupted."""
    path, work = tmp_path / "t.parquet", tmp_path / "work"
    made().write_parquet(path)
    streamed(config_of(path, min_count=9), work)
    assert read_until(BLOCKS + 6, path, work) == ENDED
    assert not (work / CACHE / MANIFEST).exists()
    assert_same(streamed(config_of(path), work), streamed(config_of(path), tmp_path / "whole"))
