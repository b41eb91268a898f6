"""Faults of rows, columns or tensors: row, feature, what came, what was expected.

Slow and careful, for requests that are refused. Each function returns the first MAX_LISTED
problems, how many more there are, and whether these are all; it is called only when there is at
least one.
"""

import difflib
import heapq
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import ValueProblem
from service.inference.reading.datetimes import datetime_fault, unsound_moments
from service.inference.reading.numbers import number_fault
from service.inference.reading.texts import category_fault
from service.inference.reading.values import Fault, describe
from service.system.quoting import MOST_QUOTED, cut, quote, quotes

_MOST_COMPARED, _MOST_SUGGESTED = 20, 3
"""Names to compare with one that is unknown, and how many of a request to make a suggestion
for."""
MAX_LISTED = 20
MAX_COUNTED = 1000
"""Counting stops here, so that a request full of faults costs little."""

_UNKNOWN_FEATURE = ""
"""Stands for the message of an unknown feature, which is costly to write, until it is known to be
listed."""

Vocabularies = Sequence[Sequence[str]]


class Features(NamedTuple):
    """Features of a model: numbers, then categories, then those of other kinds.

    Attributes:
        names: of all of them, in order.
        vocabularies: of the categories.
        faults: what finds the faults of a value, for each of the others.
    """

    names: Sequence[str]
    vocabularies: Vocabularies = ()
    faults: Sequence[Fault] = ()

    @property
    def numbers(self) -> int:
        """Count the numbers."""
        return len(self.names) - len(self.vocabularies) - len(self.faults)

    @property
    def plain(self) -> int:
        """Count the numbers and categories."""
        return len(self.names) - len(self.faults)


Findings = tuple[list[ValueProblem], int, bool]
"""The problems listed, how many more were counted, and whether that is all."""


Found = ValueProblem | Callable[[], ValueProblem]
"""A problem, or what writes one whose words are costly and only wanted where it is listed."""


def row_problems(instances: Sequence[object], features: Features) -> Findings:
    """Examine rows sent as objects or arrays."""
    known = frozenset(features.names)
    found = (_of_row(index, row, features, known) for index, row in enumerate(instances))
    return _first(chain.from_iterable(found), features.names)


def column_problems(inputs: dict[str, object], features: Features) -> Findings:
    """Examine columns sent as feature name -> values."""
    return _first(_of_columns(inputs, features), features.names)


def tensor_problems(array: NDArray[np.float32], names: Sequence[str], nan_is_missing: bool) -> Findings:
    """Examine a float32 tensor (B, N)."""
    wrong = np.isinf(array) if nan_is_missing else ~np.isfinite(array)
    return _first(
        (
            ValueProblem(int(row), names[column], number_fault(float(array[row, column])) or "")
            for row, column in np.argwhere(wrong)
        ),
        names,
    )


def moment_problems(array: NDArray[np.int64], names: Sequence[str]) -> Findings:
    """Examine an int64 tensor (B, K) of moments, the last features."""
    own = names[len(names) - array.shape[1] :]
    return _first(
        (
            ValueProblem(int(row), own[column], datetime_fault(int(array[row, column])) or "")
            for row, column in unsound_moments(array)
        ),
        names,
    )


def unknown_feature(name: str, names: Sequence[str]) -> str:
    """Return that there is no such feature, and which one was probably meant."""
    close = difflib.get_close_matches(name[:MOST_QUOTED], _alike(name[:MOST_QUOTED], names), n=1)
    return f"unknown feature; did you mean {quote(close[0])}?" if close else _unknown(names)


def _unknown(names: Sequence[str]) -> str:
    some = quotes(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"unknown feature; the model has {some}"


def _alike(name: str, names: Sequence[str]) -> list[str]:
    """Return the few names that have about the letters of another.

    To compare all with care takes seconds.
    """
    letters = set(name)

    def distance(other: str) -> int:
        return len(letters.symmetric_difference(other[:MOST_QUOTED])) + abs(len(other) - len(name))

    return heapq.nsmallest(_MOST_COMPARED, names, key=distance)


def _of_row(index: int, row: object, features: Features, known: frozenset[str]) -> Iterator[Found]:
    names, numbers, plain = features.names, features.numbers, features.plain
    if isinstance(row, dict):
        if not row.keys() <= known:
            yield from (ValueProblem(index, str(name), _UNKNOWN_FEATURE) for name in row if name not in known)
        values = list(map(row.get, names))
    elif isinstance(row, list):
        if len(row) != len(names):
            order = f"{quote(names[0])} first, {quote(names[-1])} last"
            yield ValueProblem(index, None, f"has {len(row)} values; expected {len(names)} in manifest order ({order})")
            return
        values = row
    else:
        yield ValueProblem(index, None, f"expected an object of features or an array of values, got {describe(row)}")
        return
    first = plain if _plain(values[:numbers], values[numbers:plain]) else 0
    for column in range(first, len(names)):
        yield from _of_value(index, column, values[column], features)


def _of_value(row: int, column: int, value: object, features: Features) -> Iterator[Found]:
    """Examine a value of the feature in this place."""
    name = features.names[column]
    if column < features.numbers:
        if fault := number_fault(value):
            yield ValueProblem(row, name, fault)
    elif column < features.plain:
        if value is not None and not isinstance(value, str):
            yield partial(_category_problem, row, name, value, features.vocabularies[column - features.numbers])
    elif fault := features.faults[column - features.plain](value):
        yield ValueProblem(row, name, fault)


def _category_problem(row: int, name: str, value: object, vocabulary: Sequence[str]) -> ValueProblem:
    return ValueProblem(row, name, category_fault(value, vocabulary))


def _of_columns(inputs: dict[str, object], features: Features) -> Iterator[Found]:
    places = {name: place for place, name in enumerate(features.names)}
    reference: tuple[str, int] | None = None
    for name, values in inputs.items():
        if name not in places:
            yield ValueProblem(None, name, _UNKNOWN_FEATURE)
            continue
        if not isinstance(values, list):
            yield ValueProblem(None, name, f"expected an array with one value per row, got {describe(values)}")
            continue
        reference = reference or (name, len(values))
        if len(values) != reference[1]:
            yield ValueProblem(None, name, f"has {len(values)} rows, but {quote(reference[0])} has {reference[1]}")
        column = places[name]
        if column < features.plain and (_plain(values, ()) if column < features.numbers else _plain((), values)):
            continue
        for row, value in enumerate(values):
            yield from _of_value(row, column, value, features)


def _plain(numbers: Sequence[object], strings: Sequence[object]) -> bool:
    """Tell quickly that a row is sound: one wrong value in ten thousand rows is found soon."""
    if not (set(map(type, numbers)) <= {int, float, type(None)} and set(map(type, strings)) <= {str, type(None)}):
        return False
    present = [number for number in numbers if number is not None]
    try:
        packed = struct.pack(f"{len(present)}f", *present)
    except struct.error:  # an integer beyond every float
        return False
    return 0 not in np.isfinite(np.frombuffer(packed, np.float32)).tobytes()


def _first(problems: Iterable[Found], names: Sequence[str]) -> Findings:
    """Return the first MAX_LISTED problems, and how many follow."""
    iterator = iter(problems)
    written = (found if isinstance(found, ValueProblem) else found() for found in islice(iterator, MAX_LISTED))
    listed = []
    unknown = 0
    for problem in written:
        if problem.message:
            listed.append(problem)
            continue
        name, unknown = problem.feature or "", unknown + 1
        message = unknown_feature(name, names) if unknown <= _MOST_SUGGESTED else _unknown(names)
        listed.append(problem._replace(feature=cut(name), message=message))
    more = sum(1 for _ in islice(iterator, MAX_COUNTED - MAX_LISTED))
    return listed, more, next(iterator, None) is None
