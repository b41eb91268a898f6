"""Bar of the trainer beside other projects' trainers, in an environment of their own."""

import json
import os
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bars import Verdict
from benchmarks.peers import HOME
from benchmarks.scale.setting import Setting, at_least, say

REQUIREMENTS = Path(__file__).parent / "trainers.txt"
BATCHES = (512, 2048)


def trainers(setting: Setting) -> Iterator[Verdict]:
    """Compare rows a second, by turns, with the better of the others.

    They also run with a thread for each core where the machine is quiet; threads that wait for one
    another on a busy one made theirs thirty times slower, which says nothing about them.
    """
    python, cores = environment(), len(os.sched_getaffinity(0))
    threads = ["1", str(cores)] if os.getloadavg()[0] < cores else ["1"]
    for batch in BATCHES:
        arguments = ["--repeats", str(setting.repeats), "--batch-size", str(batch), "--threads", *threads]
        command = [str(python), "-m", "benchmarks.scale.others", *arguments]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, list[list[float]]] = json.loads(run.stdout.splitlines()[-1])  # importing them prints too
        yield at_least(f"census, batches of {batch}: rows a CPU s over the better trainer", 6.0, *ratio(found, 1))
        yield at_least(f"census, batches of {batch}: rows/s over the better trainer", 6.0, *ratio(found, 0))


def ranks(setting: Setting) -> Iterator[Verdict]:
    """Compare two ranks of a thread with one process of one; benchmarks/ranks.py measures."""
    command = [sys.executable, "-m", "benchmarks.ranks", "--rounds", str(setting.repeats), "--times", "2"]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    for line in run.stdout.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0].replace(",", "").isdigit():
            detail = f"{cells[3]}; two apart {cells[5]}; CPU {cells[6]}"
            bar = f"two ranks of one thread, batches of {cells[0]}: rows/s over one's"
            yield at_least(bar, 1.6, float(cells[3].split()[0]), detail)


def ratio(found: dict[str, list[list[float]]], kind: int) -> tuple[float, str]:
    """Divide our median rate by that of the best of the others."""
    rates = {name: statistics.median(turn[kind] for turn in turns) for name, turns in found.items()}
    ours = next(iter(rates))
    said = "; ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    return rates.pop(ours) / max(rates.values()), said


def environment() -> Path:
    """Make the environment unless it is there; returns its interpreter.

    It has this environment's packages too, so that all of them train on one build of torch.
    """
    home = (HOME / "trainers").absolute()
    python = home / "bin" / "python"
    stamp = home / REQUIREMENTS.name
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        say(f"installing {', '.join(REQUIREMENTS.read_text().split())} into {home}")
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        packages = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        Path(packages.stdout.strip(), "trainer.pth").write_text(sysconfig.get_path("purelib") + os.linesep)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(REQUIREMENTS.read_text())
    return python
