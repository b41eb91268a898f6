"""Spellings: the value of a vocabulary that equals a number or boolean sent for a string."""

import re
from collections.abc import Sequence
from decimal import Decimal

MOST_SEARCHED = 10_000
"""A longer vocabulary is not searched, so that a request full of faults costs little."""

_NUMERAL = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_EXACT_INTEGERS = 10**40


def spelling(value: object, vocabulary: Sequence[str]) -> str | None:
    """Return the most frequent value of a vocabulary that equals a value of JSON.

    None where there is none.

    Args:
        value: true or false equals its name in any case; a number equals whatever reads as the
            same number.
        vocabulary: most frequent first.
    """
    searched = vocabulary if len(vocabulary) <= MOST_SEARCHED else ()
    if isinstance(value, bool):
        name = str(value).lower()
        return next((known for known in searched if known.lower() == name), None)
    if isinstance(value, int) and abs(value) < _EXACT_INTEGERS:
        return next((known for known in searched if _NUMERAL.fullmatch(known) and Decimal(known) == value), None)
    if isinstance(value, float):
        return next((known for known in searched if _NUMERAL.fullmatch(known) and float(known) == value), None)
    return None
