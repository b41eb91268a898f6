"""Text of categories: steps of the table's reader, and not of the graph, as a manifest says."""

import unicodedata
from collections.abc import Callable

from service.artifact.entries import CategoryText

Prepare = Callable[[list[str], str], list[str]]

BETWEEN = "\x1f"
"""Stands between values while they are looked at together; it joins with no mark that follows
it."""

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Unicode's White_Space, which the reader strips; Python's own `strip` takes four control
characters more."""


def preparation(text: CategoryText) -> Prepare | None:
    """Return the function that prepares values, which are also given joined by BETWEEN.

    None for nothing to do.

    It gives back its own argument where all are right.
    """
    if text.normalization is None:
        return _strip if text.strip else None
    return _strip_and_compose if text.strip else _compose


def _strip_and_compose(values: list[str], together: str) -> list[str]:
    return _compose(_strip(values, together), together)


def _strip(values: list[str], _: str) -> list[str]:
    # Python's strip gives back the same object where it finds nothing, which makes the comparison
    # cheap.
    if list(map(str.strip, values)) == values:
        return values
    return [value.strip(WHITE_SPACE) for value in values]


def _compose(values: list[str], together: str) -> list[str]:
    if together.isascii() or unicodedata.is_normalized("NFC", together):
        return values
    return [unicodedata.normalize("NFC", value) for value in values]
