"""Values of JSON in words, and the rows and errors of reading."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from service.system.quoting import quote

MOST_SHOWN = 40
"""Characters of a value in a sentence."""

Row = Sequence[Any]
Fault = Callable[[object], str | None]
"""Function from a value to why it is refused; None where it is not."""

NOT_PLAIN = (KeyError, TypeError, ValueError, OverflowError, struct.error)
"""Errors of reading where a value, a feature or a row is not as expected."""


def describe(value: object) -> str:
    """Name a value in the words of JSON."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {quote(value, MOST_SHOWN)}"
    if isinstance(value, (int, float)):
        return f"the number {quote(value, MOST_SHOWN)}"
    return {"list": "an array", "dict": "an object"}.get(type(value).__name__, type(value).__name__)
