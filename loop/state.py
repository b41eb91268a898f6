"""State of a loop: one small file, written whole before and after each change of what is served.

A run that was killed at any point is gone on with from it: a stage that was not `entered` is
entered again, which changes nothing where the change was made already.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from loop.errors import LoopError
from loop.figures import Drift, Requests
from service.versions.serving_file import VersionShare

FILE, LOCK = "state.json", "lock"


class Held(BaseModel):
    """Part of the serving file that the loop is in charge of during a cycle."""

    model_config = ConfigDict(frozen=True)

    pinned: int | None = None
    canary: VersionShare | None = None
    shadow: VersionShare | None = None

    def __str__(self) -> str:
        besides = {"canary": self.canary, "shadow": self.shadow}
        parts = [f"version {self.pinned} pinned" if self.pinned else "no version pinned"]
        parts += [f"version {b.version} as {what} of {b.share:.0%}" for what, b in besides.items() if b is not None]
        return ", ".join(parts)


class Tally(BaseModel):
    """Requests of each version since the canary began, over replicas that come, go and restart.

    Attributes:
        last: counts as each replica last told them, by its address and version.
        sums: what was added to them, by version.
        at_step: of `sums`, those of the candidate before the step.
        labelled: labelled rows of the candidate before the step, by task.
        drift: of the served version, by window, as it last was by enough rows.
    """

    model_config = ConfigDict(frozen=True)

    last: dict[str, dict[int, Requests]] = {}
    sums: dict[int, Requests] = {}
    at_step: Requests = Requests()
    labelled: dict[str, int] = {}
    drift: dict[str, Drift] = {}

    def added(self, told: Mapping[str, Mapping[int, Requests]]) -> "Tally":
        """Add what replicas tell; of one that is new, what it has counted so far is left out."""
        sums = dict(self.sums)
        for url, counts in told.items():
            before = self.last.get(url)
            for version, now in counts.items() if before is not None else ():
                more = now.since(before.get(version, Requests())) if before is not None else now
                sums[version] = sums.get(version, Requests()).plus(more)
        last = {**self.last, **{url: dict(counts) for url, counts in told.items()}}
        return self.model_copy(update={"sums": sums, "last": last})

    def drifted(self, told: Mapping[str, Drift | None], least: Mapping[str, int]) -> "Tally":
        """Take over what the served version's drift is by enough rows.

        Args:
            told: by window.
            least: rows of each window that are enough.
        """
        enough = {window: drift for window, drift in told.items() if drift is not None and drift.rows >= least[window]}
        return self.model_copy(update={"drift": {**self.drift, **enough}})

    def of(self, version: int) -> Requests:
        """Return the requests of a version since the canary began."""
        return self.sums.get(version, Requests())


class State(BaseModel):
    """State of a loop.

    Attributes:
        cycle: number of the cycle, from 1.
        stage: that the cycle is in; "idle" between two.
        entered: whether what is served is as the stage wants it, and the journal says so.
        began: when the stage or step was entered, in seconds since 1970.
        held_at: when a rule last held it, likewise.
        canary_began: when the first step was.
        step: of the canary, from 0.
        served: version that is served; None before the first.
        candidate: version on trial.
        highest: highest published version before training.
        held: what the serving file says by this loop's hand.
        tally: requests of the canary.
        findings: that led to this stage, as in the journal.
        reason: sentence of what a candidate is rolled back for.
        refused: versions that were rolled back.
        lines: of the journal.
    """

    model_config = ConfigDict(frozen=True)

    cycle: int = 0
    stage: Literal["idle", "training", "shadow", "canary", "promoting", "rolling_back"] = "idle"
    entered: bool = False
    began: float = 0.0
    held_at: float = 0.0
    canary_began: float = 0.0
    step: int = 0
    served: int | None = None
    candidate: int | None = None
    highest: int = 0
    held: Held = Held()
    tally: Tally = Tally()
    findings: list[dict[str, Any]] = []
    reason: str = ""
    refused: list[int] = []
    lines: int = 0


def read_state(directory: Path) -> State:
    """Read the state; a fresh one where there is none.

    Raises:
        LoopError: it cannot be read.
    """
    path = directory / FILE
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return State()
    except ValidationError as error:
        raise LoopError(
            f"{path} is not the state of a loop ({error.errors(include_url=False)[0]['msg']}); remove it to begin anew"
        ) from None


def write_state(directory: Path, state: State) -> None:
    """Replace the state; it is on the disk when this returns."""
    fresh = directory / f".{FILE}.{os.getpid()}"
    with fresh.open("w", encoding="utf-8") as file:
        file.write(state.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / FILE)
    opened = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)  # else a crash of the machine may bring the state before back
    finally:
        os.close(opened)


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other loops of the same model out; the lock goes with the process.

    Raises:
        LoopError: another one runs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LoopError(
                f"{directory}: another loop of this model runs (process {file.read().strip() or 'unknown'}); wait for "
                "it, or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
