"""Kill writers of one slot at random moments.

A program of its own, for a fork wants no other threads.

Half of them are killed from outside, at any instruction; the others kill themselves in the middle
of publishing, which the first seldom meet.

Row k of the sequence is known from k alone, and each writer goes on where `total` says the last
one died. Prints, as JSON, how many rows were acknowledged as published, how many were counted, how
many publications a kill left unfinished, and how far the sums are from those of the rows.

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

from service.monitoring.shared_sums import SharedSums
from service.monitoring.windows import PLACES, TOTAL_PLACE, Layout, fold, total
from service.run_directory import RunDirectory

LAYOUT = Layout(3, 8, tuple(np.linspace(0, 1, 21).tolist()))


def sequence(start: int, stop: int) -> NDArray[np.float32]:
    """Return rows (stop - start, T, E) of the sequence."""
    k = np.arange(start, stop, dtype=np.float64)[:, None, None]
    logits = np.sin(k * (1 + np.arange(3.0)[:, None]) + np.arange(8.0))
    weights = np.exp(logits)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    return shares


def shared_sums(directory: RunDirectory) -> SharedSums:
    """View the one slot."""
    return SharedSums(directory.map("sums", "killing", LAYOUT.shape.nbytes)[0], LAYOUT.shape)


def write(directory: RunDirectory, acknowledge: int, stores: int) -> None:
    """Publish until killed, after so many stores, acknowledging every row with a byte."""
    directory.lock_slot()
    sums, at = shared_sums(directory), count(directory)
    while True:
        rows = 1 + at % 7
        for _ in sums.steps(fold(sums.current, LAYOUT.body(sequence(at, at + rows)), at // 500)):
            stores -= 1
            if stores == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        at += rows
        os.write(acknowledge, b"." * rows)


def count(directory: RunDirectory) -> int:
    """Count the rows as any reader would."""
    return int(total(LAYOUT, [shared_sums(directory).read(TOTAL_PLACE, TOTAL_PLACE + 1)]).rows)


def is_unfinished(directory: RunDirectory) -> bool:
    """Tell whether the last writer died while it was publishing.

    A body of the other side is ahead of the current one.

    The first words of a body are its epoch and its rows.
    """
    slot = directory.map("sums", "killing", LAYOUT.shape.nbytes)[0]
    sides = np.frombuffer(slot, np.float64, offset=64).reshape(2, LAYOUT.shape.places, -1)[:, :, :2]
    current = slot.cast("Q")[0] & 1
    pairs = zip(sides[1 - current].tolist(), sides[current].tolist(), strict=True)
    return any(other > now for other, now in pairs)


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
                write(directory, writing, stores=chance.randrange(1, 2 * PLACES) if kill % 2 else -1)
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
        sums = total(LAYOUT, [shared_sums(directory).read(TOTAL_PLACE, TOTAL_PLACE + 1)])
    expected = LAYOUT.sums(LAYOUT.body(sequence(0, lowest)))
    distances = {name: float(np.abs(value - vars(expected)[name]).max()) for name, value in vars(sums).items()}
    figures = {"published": acknowledged, "counted": lowest, "unfinished": unfinished, "distances": distances}
    print(json.dumps(figures))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        write(RunDirectory(Path(sys.argv[1]), 1), acknowledge=sys.stdout.fileno(), stores=-1)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
