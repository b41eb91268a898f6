"""Lenient reading: rows as their owners have them -> rows that the model takes, and notes.

Three liberties are taken, and each is noted: a number or boolean for a category becomes the one
value of the vocabulary that equals it, a marker of a missing value becomes one where a number or a
moment belongs, and columns that training had beside the features are ignored. Nothing else is
guessed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from typing_extensions import TypedDict

from service.artifact.manifest import Manifest
from service.inference.category_text import WHITE_SPACE
from service.inference.hints import Spellings
from service.inference.reading.values import MOST_SHOWN, describe
from service.system.json_types import Count
from service.system.quoting import cut, quote

MOST_NOTES = 20
"""Notes that an answer lists; further ones are counted."""

_LABEL, _DROPPED = "a column of labels, ignored", "a column that training dropped, ignored"


class Note(TypedDict):
    """Liberty that was taken with a column.

    Attributes:
        row: first one that it was taken with.
        rows: of how many.
    """

    feature: str
    row: Count
    rows: Count
    message: str


class Notes:
    """Liberties taken with the rows of one request, a note per column."""

    def __init__(self) -> None:
        self._notes: dict[str, Note] = {}

    def take(self, feature: str, row: int, message: Callable[[], str], rows: int = 1) -> None:
        """Note a liberty; the message is that of the column's first."""
        note = self._notes.get(feature)
        if note is not None:
            note["rows"] += rows
        else:
            self._notes[feature] = {"feature": cut(feature), "row": row, "rows": rows, "message": message()}

    def answer(self) -> dict[str, Any]:
        """Return the members of an answer: `notes`, and `more_notes` where there are many."""
        listed = list(self._notes.values())[:MOST_NOTES]
        more = len(self._notes) - len(listed)
        return {"notes": listed, "more_notes": more} if more else {"notes": listed}


Liberty = Callable[[object, Callable[[Callable[[], str]], object]], object]
"""Function from a value, and what notes a message, to the value to read in its place."""


class Lenience:
    """Liberties that a model's manifest allows.

    Args:
        manifest: of the model.
    """

    def __init__(self, manifest: Manifest) -> None:
        table, features = manifest.training_table, frozenset(manifest.feature_names)
        labels = [task.label.column for task in manifest.tasks if task.label is not None]
        ignored = dict.fromkeys(table.dropped, _DROPPED) | dict.fromkeys(labels, _LABEL)
        self._ignored = {name: why for name, why in ignored.items() if name not in features}
        self._names = manifest.feature_names
        markers = frozenset({"", *table.missing})
        missing = partial(_missing, markers, manifest.category_text.strip)
        self._liberties: Mapping[str, Liberty] = {
            **{feature.name: partial(_category, Spellings(feature.vocabulary)) for feature in manifest.categorical},
            **{feature.name: missing for feature in manifest.numeric + manifest.datetimes},
        }

    def rows(self, instances: object, notes: Notes) -> object:
        """Return rows, objects by name or arrays in order, that may be read strictly."""
        if type(instances) is not list:
            return instances
        return [self._row(index, row, notes) for index, row in enumerate(instances)]

    def columns(self, inputs: object, notes: Notes) -> object:
        """Return columns by name that may be read strictly."""
        if type(inputs) is not dict:
            return inputs
        found = {}
        for name, values in inputs.items():
            if name in self._ignored:
                notes.take(name, 0, partial(str, self._ignored[name]), len(values) if type(values) is list else 0)
            elif type(values) is list and name in self._liberties:
                found[name] = [self._cell(index, name, value, notes) for index, value in enumerate(values)]
            else:
                found[name] = values
        return found

    def _row(self, index: int, row: object, notes: Notes) -> object:
        if type(row) is list and len(row) == len(self._names):
            return [self._cell(index, name, value, notes) for name, value in zip(self._names, row, strict=True)]
        if type(row) is not dict:
            return row
        for name in filter(self._ignored.__contains__, row):
            notes.take(name, index, partial(str, self._ignored[name]))
        return {name: self._cell(index, name, value, notes) for name, value in row.items() if name not in self._ignored}

    def _cell(self, index: int, name: str, value: object, notes: Notes) -> object:
        liberty = self._liberties.get(name)
        return value if value is None or liberty is None else liberty(value, partial(notes.take, name, index))


def _category(spellings: Spellings, value: object, note: Callable[[Callable[[], str]], object]) -> object:
    """Return the one value of a vocabulary that equals a number or boolean; others as they are."""
    if type(value) not in (int, float, bool):
        return value
    known = spellings.only(value)
    if known is None:
        return value
    note(lambda: f"{describe(value)} was taken for {quote(known, MOST_SHOWN)}")
    return known


def _missing(
    markers: frozenset[str], strip: bool, value: object, note: Callable[[Callable[[], str]], object]
) -> object:
    """Return null for text that means a missing value; others as they are."""
    if type(value) is not str or (value.strip(WHITE_SPACE) if strip else value) not in markers:
        return value
    note(lambda: f"{describe(value)} was taken for a missing value")
    return None
