"""Spellings: the value of a vocabulary that equals a number or boolean sent for a string."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property

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


class Spellings:
    """Index of a vocabulary by what its values equal; made when first asked.

    Args:
        vocabulary: of a category, or the most frequent values of a long one.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._vocabulary = vocabulary

    def only(self, value: object) -> str | None:
        """Return the value that equals one of JSON, as `spelling` has it.

        None where there is none, or more than one.
        """
        found = self._index.get((type(value), value), ())
        return found[0] if len(found) == 1 else None

    @cached_property
    def _index(self) -> Mapping[tuple[type, object], Sequence[str]]:
        index: dict[tuple[type, object], list[str]] = defaultdict(list)
        for known in self._vocabulary:
            if known.lower() in ("true", "false"):
                index[bool, known.lower() == "true"].append(known)
            elif _NUMERAL.fullmatch(known):
                exact = Decimal(known)
                index[float, float(known)].append(known)
                if abs(exact) < _EXACT_INTEGERS and exact == exact.to_integral_value():
                    index[int, int(exact)].append(known)
        return dict(index)
