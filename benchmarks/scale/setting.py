"""Setting of the parts: how much, where, and tables made once."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import click_log
from benchmarks.bars import Verdict

FILE_ROWS = 500_000
"""Rows of each file of a made table."""


@dataclass(frozen=True)
class Setting:
    """Setting of a run of the benchmark.

    Attributes:
        scratch: folder for tables and models.
        rows: of the large table.
        limit: bytes of memory that its training may take.
        repeats: of each turn where contenders take turns.
    """

    scratch: Path
    rows: int = 20_000_000
    limit: int = 4 << 30
    repeats: int = 7

    def log(self, rows: int) -> Path:
        """Make a click log of so many rows unless it is there; returns its configuration."""
        folder = self.scratch / f"clicks-{rows}"
        config = folder.with_suffix(".toml")
        if not config.exists():
            say(f"making {rows:,} rows in {folder}")
            click_log.write(folder, rows, max(1, rows // FILE_ROWS))
            config.write_text(click_log.config_text(str(folder)), encoding="utf-8")
        return config


def load() -> str:
    """Say how busy the machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def at_most(bar: str, most: float, figure: float, detail: str = "") -> Verdict:
    """Judge a figure that is to be small."""
    return Verdict(bar, f"at most {most:g}", _measured(figure, detail), figure <= most)


def at_least(bar: str, least: float, figure: float, detail: str = "") -> Verdict:
    """Judge a figure that is to be large."""
    return Verdict(bar, f"at least {least:g}", _measured(figure, detail), figure >= least)


def _measured(figure: float, detail: str) -> str:
    return f"{figure:.3g} ({detail})" if detail else f"{figure:.3g}"
