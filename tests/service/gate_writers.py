"""Kill writers of one slot at random moments: a program of its own, for a fork wants no other threads.

Half of them are killed from outside, at any instruction; the others kill themselves in the middle of a fold, which the
first seldom meet.

Row k of the sequence is known from k alone, and each writer goes on where `total` says the last one died. Prints, as
JSON, how many rows were acknowledged, how many were counted, how many folds a kill left unfinished, and how far the
sums are from those of the rows.

    python gate_writers.py PARENT KILLS SEED
    python gate_writers.py RUN_DIRECTORY            writes until it is killed from outside
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.ledger import Ledger
from service.slots import RunDirectory
from service.windows import TOTAL_PLACE, Layout, fold, total

LAYOUT = Layout(3, 8, tuple(np.linspace(0, 1, 21).tolist()))


def sequence(start: int, stop: int) -> NDArray[np.float32]:
    """Return rows (stop - start, T, E) of the sequence."""
    k = np.arange(start, stop, dtype=np.float64)[:, None, None]
    logits = np.sin(k * (1 + np.arange(3.0)[:, None]) + np.arange(8.0))
    weights = np.exp(logits)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    return shares


def write(directory: RunDirectory, acknowledge: int, stores: int) -> None:
    """Record and fold until killed, after so many stores of folds, acknowledging every record with a byte per row."""
    slot = directory.map("ledger", "killing", LAYOUT.shape.nbytes)[directory.claim().index]
    ledger = Ledger(slot, LAYOUT.shape)
    ledger.recover()
    at = count(directory)
    while True:
        rows = 1 + at % 7
        ledger.append(sequence(at, at + rows), at // 500)
        at += rows
        os.write(acknowledge, b"." * rows)
        if at % 3 == 0:
            pending, seconds = ledger.pending()
            for _ in ledger.steps(len(pending), fold(LAYOUT, ledger.current, pending, seconds)):
                stores -= 1
                if stores == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


def count(directory: RunDirectory) -> int:
    """Count the rows as any reader would."""
    slots = directory.map("ledger", "killing", LAYOUT.shape.nbytes)
    snapshots = [Ledger(slot, LAYOUT.shape).snapshot(TOTAL_PLACE, TOTAL_PLACE + 1) for slot in slots]
    return int(total(LAYOUT, snapshots).rows)


def is_unfinished(directory: RunDirectory) -> bool:
    """Tell whether the last writer died in the middle of a fold."""
    slot = directory.map("ledger", "killing", LAYOUT.shape.nbytes)[0]
    before = bytes(slot)
    Ledger(slot, LAYOUT.shape).recover()
    return bytes(slot) != before


def main(path: str, kills: int, seed: int) -> None:
    """Kill so many writers, one after the other."""
    chance = random.Random(seed)
    acknowledged, lowest, unfinished = 0, 0, 0
    with RunDirectory.create(1, Path(path)) as directory:
        for kill in range(kills):
            reading, writing = os.pipe()
            writer = os.fork()
            if writer == 0:
                os.close(reading)
                write(directory, writing, stores=chance.randrange(1, 100) if kill % 2 else -1)
            os.close(writing)
            seen = 0
            if kill % 2 == 0:
                for _ in range(chance.randrange(1, 40)):
                    seen += len(os.read(reading, chance.randrange(1, 50)))
                os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            while more := os.read(reading, 4096):
                seen += len(more)
            os.close(reading)
            acknowledged = lowest + seen
            lowest = count(directory)
            if not acknowledged <= lowest <= acknowledged + 7:
                raise SystemExit(f"{acknowledged} rows were acknowledged and {lowest} counted")
            unfinished += is_unfinished(directory)
        slot = directory.map("ledger", "killing", LAYOUT.shape.nbytes)[0]
        sums = total(LAYOUT, [Ledger(slot, LAYOUT.shape).snapshot(TOTAL_PLACE, TOTAL_PLACE + 1)])
    expected = LAYOUT.sums(LAYOUT.body(sequence(0, lowest)))
    distances = {name: float(np.abs(value - vars(expected)[name]).max()) for name, value in vars(sums).items()}
    figures = {"acknowledged": acknowledged, "counted": lowest, "unfinished": unfinished, "distances": distances}
    print(json.dumps(figures))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        write(RunDirectory(Path(sys.argv[1]), 1), acknowledge=sys.stdout.fileno(), stores=-1)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
