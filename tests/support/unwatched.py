"""Calls into others' code that coverage does not follow.

Before Python 3.14 it looks at every line that runs, also of others' code: torch's exporter takes
twice as long meanwhile, and most tests of the trainer export a model.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any


def unwatched(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that stops coverage's tracer, if one runs in this thread, and calls."""

    @functools.wraps(call)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        tracer: Any = sys.gettrace()
        if not hasattr(tracer, "stop"):
            return call(*arguments, **named)
        tracer.stop()
        try:
            return call(*arguments, **named)
        finally:
            tracer.start()

    return wrapped
