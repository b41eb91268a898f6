"""Parts that several commands share: types of arguments, how errors are told, and the end."""

import argparse
import math
import signal
import sys
from types import FrameType

from tables.errors import UserError

MENDABLE, INTERRUPTED = 2, 130
"""Exit codes of what the user can mend, and after Ctrl-C, as shells have it."""


def count(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def minutes(text: str) -> float:
    """Read a time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
    return value


def say(line: str) -> None:
    """Write a line beside the result."""
    print(line, file=sys.stderr, flush=True)


def fail(error: Exception | str) -> int:
    """Tell what the user can mend, a line for each sentence; returns the exit code."""
    sentences: tuple[object, ...] = (error,)
    if isinstance(error, UserError):
        sentences = error.args
    elif isinstance(error, OSError):
        sentences = (f"{error.filename or 'a file'}: {error.strerror or error}",)
    for sentence in sentences:
        say(f"error: {sentence}")
    return MENDABLE


def interrupt_on_sigterm() -> None:
    """End a stopped container as Ctrl-C does, so that the same command can go on later."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
