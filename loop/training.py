"""Training of a candidate: `scripts.train` in a process of its own, and what came of it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from loop.config import Training
from stores.address import is_stored

LOG = "training.log"
WORSE, INTERRUPTED = 3, 130
"""Exit codes of scripts.train."""
_SAID_BYTES = 4000


class Trained(NamedTuple):
    """End of a training, and the trainer's last words where no version came of it."""

    state: Literal["published", "worse", "failed"]
    said: str = ""


def command(
    training: Training,
    models: str,
    served: int | None,
    settings: Sequence[str] = (),
    work: Path | None = None,
    serving: str | None = None,
) -> list[str]:
    """Return the command of a training.

    Args:
        training: its options.
        models: directory, or address of a store's folder, that it publishes to.
        served: version that is served; None before the first.
        settings: further keys of its configuration, as KEY=VALUE.
        work: directory for its checkpoint where models are in a store.
        serving: directory of serving files, where they have one of their own.
    """
    start = {"served": str(served), "latest": "latest", "scratch": None}[training.start] if served else None
    found = [sys.executable, "-m", "scripts.train", training.config, "--models", models]
    if work is not None and is_stored(models):
        found += ["--work", str(work / "work")]
    if start is not None:
        found += ["--from", start, *(["--refit"] if training.refit else [])]
    if serving is not None and training.unless_worse:
        found += ["--serving-directory", serving]
    for bar in training.unless_worse:
        found += ["--unless-worse", bar]
    settings = [*training.set, *settings]
    return [*found, *(["--set", *settings] if settings else [])]


def train(given: list[str], directory: Path) -> Trained:
    """Run the trainer to its end; what it says goes to a file.

    Args:
        given: the command.
        directory: of the file.

    Raises:
        KeyboardInterrupt: this process is to stop, or the trainer was stopped: its checkpoint is
            gone on from by the next run.
    """
    with (directory / LOG).open("ab") as log:
        begun = log.tell()
        process = subprocess.Popen(
            given,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C of a terminal comes once, by way of this process
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == 0:
        return Trained("published")
    return Trained("worse" if code == WORSE else "failed", _last_words(directory / LOG, begun, code))


def _last_words(log: Path, begun: int, code: int) -> str:
    with log.open("rb") as file:
        file.seek(max(begun, file.seek(0, os.SEEK_END) - _SAID_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    told = [line for line in said if line.startswith(("error: ", "Not published: "))] or said[-1:]
    return (told[-1] if told else f"exit code {code}").rstrip(".")
