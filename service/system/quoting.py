"""Quotations in errors: text from callers and model files, cut to one length in one place."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

MOST_QUOTED = 100
"""Characters of one quotation, before the mark that it was cut."""
MOST_LISTED = 10
"""Values of one list."""

_CUT = "..."


def cut(text: str, most: int = MOST_QUOTED) -> str:
    """Shorten a text to `most` characters and a mark, where it is longer."""
    return text if len(text) <= most else f"{text[:most]}{_CUT}"


def quote(value: Any, most: int = MOST_QUOTED) -> str:
    """Write a value for a sentence: text in quotes, anything else as JSON; cut to `most`.

    It looks at the beginning of a value alone, however large or deep that is.

    Args:
        value: text, bytes of a header, or any value of JSON.
        most: characters.
    """
    if isinstance(value, bytes):
        value = value[: most + 1].decode("latin-1")
    if isinstance(value, str):
        shown = repr(value[:most])
        if len(shown) > most + 2:
            return cut(shown, most)
        return shown if len(value) <= most else f"{shown}{_CUT}"
    return cut(_beginning(value, most), most)


def quotes(values: Iterable[Any], link: str = ", ") -> str:
    """Quote values one after the other, the first few of many."""
    return listed(map(quote, values), link, most=MOST_QUOTED + 5)


def listed(values: Iterable[object], link: str = ", ", most: int = MOST_QUOTED) -> str:
    """Write values one after the other as they are, each cut, the first few of many."""
    iterator = iter(values)
    shown = [cut(str(value), most) for value in islice(iterator, MOST_LISTED)]
    return link.join([*shown, _CUT] if any(True for _ in islice(iterator, 1)) else shown)


def _beginning(value: Any, most: int) -> str:
    """Write JSON until there is enough of it."""
    pieces: list[str] = []
    size = 0
    try:
        for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
            pieces.append(piece[: most + 1])
            size += len(pieces[-1])
            if size > most:
                break
    except ValueError:  # an integer of more digits than Python prints
        return "of thousands of digits"
    except TypeError:
        return type(value).__name__
    return "".join(pieces)
