"""Text of rows -> strings as the graph takes them; null and "" are missing.

A category is a string. An id that is hashed may be a JSON integer as well, whose digits count. A
bag is an array of either, which becomes its values joined by their separator.
"""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import Manifest
from service.inference.category_text import BETWEEN, preparation
from service.inference.hints import spelling
from service.inference.reading.bags import Bag
from service.inference.reading.ids import digits, id_hint, is_id
from service.inference.reading.values import Row, describe

_STRINGS_OR_NULL = {str, type(None)}
Texts = NDArray[np.object_]


class TextReader(Protocol):
    """Reader of the texts of rows, strings prepared as the table's reader did."""

    def read(self, rows: list[Row]) -> Texts:
        """Return object (B, C + H + G) of str.

        Raises one of NOT_PLAIN where a value is of a wrong type.
        """

    def prepared(self, texts: Texts) -> Texts:
        """Prepare texts that are already as the graph takes them, bags joined."""


def text_reader(manifest: Manifest) -> TextReader:
    """Return the reader of a model's texts."""
    return MixedReader(manifest) if manifest.hashed or manifest.bags else CategoryReader(manifest)


class CategoryReader:
    """Reader of rows whose texts are categories alone."""

    def __init__(self, manifest: Manifest) -> None:
        self._width = len(manifest.categorical)
        self._prepare = preparation(manifest.category_text)

    def read(self, rows: list[Row]) -> Texts:
        """Return the texts of rows."""
        values = list(rows[0]) if len(rows) == 1 else list(chain.from_iterable(rows))
        try:
            return self._texts(values)
        except TypeError:  # joining them is a quicker look at their types than a look at each
            if not set(map(type, values)) <= _STRINGS_OR_NULL:
                raise
            return self._texts([value or "" for value in values])

    def prepared(self, texts: Texts) -> Texts:
        """Prepare texts."""
        return texts if self._prepare is None else self._texts(texts.ravel().tolist())

    def _texts(self, values: list[str]) -> Texts:
        """Return values in row order as (B, C); TypeError for other types."""
        together = BETWEEN.join(values)
        prepared = values if self._prepare is None else self._prepare(values, together)
        # An object array is built six times faster than one of fixed width, and runs as fast.
        return np.array(prepared, np.object_).reshape(-1, self._width)


class MixedReader:
    """Reader of rows with hashed ids or bags among their texts.

    All values of a request, those in bags too, are prepared together.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._categories, self._single = len(manifest.categorical), len(manifest.categorical + manifest.hashed)
        self._bags = [Bag(feature.separator) for feature in manifest.bags]
        self._prepare = preparation(manifest.category_text)

    def read(self, rows: list[Row]) -> Texts:
        """Return the texts of rows."""
        columns = list(zip(*rows, strict=True))
        single = [_texts(column, False) for column in columns[: self._categories]]
        single += [_texts(column, True) for column in columns[self._categories : self._single]]
        return self._joined(single, [bag.values(cells) for bag, cells in self._with_bags(columns)], len(rows))

    def prepared(self, texts: Texts) -> Texts:
        """Prepare texts, a bag's values one by one."""
        if self._prepare is None:
            return texts
        columns: list[list[str]] = texts.T.tolist()
        bags = [[bag.split(cell) for cell in cells] for bag, cells in self._with_bags(columns)]
        return self._joined(columns[: self._single], bags, len(texts))

    def _with_bags(self, columns: Sequence[Any]) -> "zip[tuple[Bag, Any]]":
        return zip(self._bags, columns[self._single :], strict=True)

    def _joined(self, single: list[list[str]], bags: list[list[list[str]]], rows: int) -> Texts:
        """Prepare columns of values and of bags, each of B cells; return (B, C + H + G)."""
        values = [*chain.from_iterable(single), *chain.from_iterable(chain.from_iterable(bags))]
        if self._prepare is not None:
            values = self._prepare(values, BETWEEN.join(values))
        start = len(single) * rows
        columns = [values[place : place + rows] for place in range(0, start, rows)]
        for bag, cells in zip(self._bags, bags, strict=True):
            column = []
            for cell in cells:
                column.append(bag.join(values[start : start + len(cell)]))
                start += len(cell)
            columns.append(column)
        flat = list(chain.from_iterable(zip(*columns, strict=True)))
        return np.array(flat, np.object_).reshape(rows, len(columns))


def _texts(column: Row, hashed: bool) -> list[str]:
    """Return cells as strings, "" for null; TypeError for other types."""
    kinds = set(map(type, column))
    if kinds == {str}:
        return list(column)
    if kinds <= _STRINGS_OR_NULL:
        return [cell or "" for cell in column]
    if not hashed:
        raise TypeError
    return ["" if cell is None else digits(cell) for cell in column]


def category_fault(value: object, vocabulary: Sequence[str]) -> str:
    """Return why a value is not a category, and which value of the vocabulary equals it."""
    known = spelling(value, vocabulary)
    hint = "" if known is None else f"; send it as a string, {json.dumps(known, ensure_ascii=False)}"
    return f"expected a string or null, got {describe(value)}{hint}"


def hashed_fault(value: object) -> str | None:
    """Return why a value is not an id; None where it is one, or null."""
    if value is None or is_id(value):
        return None
    return f"expected a string, a whole number or null, got {describe(value)}{id_hint(value)}"
