"""Bags: arrays of values -> the values joined by their separator, as the graph takes them."""

from collections.abc import Sequence
from typing import Any

from service.inference.reading.ids import digits, id_hint, is_id
from service.inference.reading.values import MOST_SHOWN, describe
from service.system.quoting import quote

_ARRAYS_OR_NULL = {list, type(None)}
_STRINGS = {str}


class Bag:
    """Bag feature with this separator."""

    __slots__ = ("_separator",)

    def __init__(self, separator: str) -> None:
        self._separator = separator

    def values(self, cells: Sequence[Any]) -> list[list[str]]:
        """Return the values of each cell as strings; none for null.

        Raises one of NOT_PLAIN where a cell is not an array of ids.
        """
        if not set(map(type, cells)) <= _ARRAYS_OR_NULL:
            raise TypeError
        return [
            [] if not cell else cell if set(map(type, cell)) == _STRINGS else list(map(digits, cell)) for cell in cells
        ]

    def split(self, cell: str) -> list[str]:
        """Return the values of a joined cell."""
        return cell.split(self._separator) if cell else []

    def join(self, values: list[str]) -> str:
        """Return the cell of values; ValueError where the graph would part it into others."""
        joined = self._separator.join(values)
        if values and joined.split(self._separator) != values:
            raise ValueError("a value contains the separator")
        return joined

    def fault(self, cell: object) -> str | None:
        """Return why a value is not a bag; None where it is one, or null."""
        if cell is None:
            return None
        if type(cell) is not list:
            hint = f"; send an array, {self._example(cell)}" if type(cell) in (str, int) else ""
            return f"expected an array of strings or null, got {describe(cell)}{hint}"
        for place, value in enumerate(cell):
            if value is None:
                return f"value {place} of the array is null; leave a missing value out"
            if not is_id(value):
                came = f"got {describe(value)}{id_hint(value)}"
                return f"value {place} of the array: expected a string or a whole number, {came}"
        return self._separator_fault([digits(value) for value in cell])

    def _separator_fault(self, values: list[str]) -> str | None:
        if not values or self._separator.join(values).split(self._separator) == values:
            return None
        what = f"the separator {quote(self._separator)}, which parts a bag's values in text"
        for place, value in enumerate(values):
            if self._separator in value:
                return f"value {place} of the array, {quote(value, MOST_SHOWN)}, contains {what}; send it as two values"
        return f"the values together contain {what}, in other places than between them; send them without it"

    def _example(self, cell: object) -> str:
        return quote(self.split(cell) if isinstance(cell, str) else [cell], MOST_SHOWN)
