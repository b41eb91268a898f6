"""Faults of rows, columns or tensors: row, feature, what came, what was expected.

Slow and careful, for requests that are refused. Each function returns the first MAX_LISTED
problems, how many more there are, and whether these are all; it is called only when there is at
least one.
"""

import difflib
import heapq
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from service.errors import ValueProblem
from service.inference.hints import spelling
from service.system.quoting import MOST_QUOTED, cut, quote, quotes

_MOST_SHOWN = 40
_MOST_COMPARED, _MOST_SUGGESTED = 20, 3
"""Names to compare with one that is unknown, and how many of a request to make a suggestion
for."""
MAX_LISTED = 20
MAX_COUNTED = 1000
"""Counting stops here, so that a request full of faults costs little."""

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

_UNKNOWN_FEATURE = ""
"""Stands for the message of an unknown feature, which is costly to write, until it is known to be
listed."""

Vocabularies = Sequence[Sequence[str]]

Findings = tuple[list[ValueProblem], int, bool]
"""The problems listed, how many more were counted, and whether that is all."""


Found = ValueProblem | Callable[[], ValueProblem]
"""A problem, or what writes one whose words are costly and only wanted where it is listed."""


def row_problems(instances: Sequence[object], names: Sequence[str], vocabularies: Vocabularies) -> Findings:
    """Examine rows sent as objects or arrays.

    The last of the names are categories, of these vocabularies.
    """
    known = frozenset(names)
    found = (_of_row(index, row, names, known, vocabularies) for index, row in enumerate(instances))
    return _first(chain.from_iterable(found), names)


def column_problems(inputs: dict[str, object], names: Sequence[str], vocabularies: Vocabularies) -> Findings:
    """Examine columns sent as feature name -> values."""
    return _first(_of_columns(inputs, names, vocabularies), names)


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


def number_fault(value: object) -> str | None:
    """Return why a value is not a number for the model; None where it is one, or null."""
    if value is None:
        return None
    if type(value) is bool or not isinstance(value, (int, float)):
        hint = "; send it without quotes" if isinstance(value, str) and _reads_as_number(value) else ""
        return f"expected a number or null, got {describe(value)}{hint}"
    if isinstance(value, float) and math.isnan(value):
        return "NaN is not a number; send null for a missing value"
    if abs(value) > LARGEST_FLOAT32 and not _rounds_to_float32(value):
        return f"{quote(value, _MOST_SHOWN)} is infinite as float32; expected a number from -3.4e38 to 3.4e38"
    return None


def category_fault(value: object, vocabulary: Sequence[str]) -> str:
    """Return why a value is not a category, and which value of the vocabulary equals it."""
    known = spelling(value, vocabulary)
    hint = "" if known is None else f"; send it as a string, {json.dumps(known, ensure_ascii=False)}"
    return f"expected a string or null, got {describe(value)}{hint}"


def describe(value: object) -> str:
    """Name a value in the words of JSON."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {quote(value, _MOST_SHOWN)}"
    if isinstance(value, (int, float)):
        return f"the number {quote(value, _MOST_SHOWN)}"
    return {"list": "an array", "dict": "an object"}.get(type(value).__name__, type(value).__name__)


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


def _of_row(
    index: int, row: object, names: Sequence[str], known: frozenset[str], vocabularies: Vocabularies
) -> Iterator[Found]:
    numeric = len(names) - len(vocabularies)
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
    if _plain(values[:numeric], values[numeric:]):
        return
    for column, value in enumerate(values):
        if column < numeric:
            yield from _of_number(index, names[column], value)
        else:
            yield from _of_category(index, names[column], value, vocabularies[column - numeric])


def _of_number(row: int, name: str, value: object) -> Iterator[Found]:
    if fault := number_fault(value):
        yield ValueProblem(row, name, fault)


def _of_category(row: int, name: str, value: object, vocabulary: Sequence[str]) -> Iterator[Found]:
    if value is not None and not isinstance(value, str):
        yield partial(_category_problem, row, name, value, vocabulary)


def _category_problem(row: int, name: str, value: object, vocabulary: Sequence[str]) -> ValueProblem:
    return ValueProblem(row, name, category_fault(value, vocabulary))


def _of_columns(inputs: dict[str, object], names: Sequence[str], vocabularies: Vocabularies) -> Iterator[Found]:
    numbers = names[: len(names) - len(vocabularies)]
    of_name: dict[str, Sequence[str] | None] = dict.fromkeys(numbers)
    of_name |= dict(zip(names[len(numbers) :], vocabularies, strict=True))
    reference: tuple[str, int] | None = None
    for name, values in inputs.items():
        if name not in of_name:
            yield ValueProblem(None, name, _UNKNOWN_FEATURE)
            continue
        if not isinstance(values, list):
            yield ValueProblem(None, name, f"expected an array with one value per row, got {describe(values)}")
            continue
        reference = reference or (name, len(values))
        if len(values) != reference[1]:
            yield ValueProblem(None, name, f"has {len(values)} rows, but {quote(reference[0])} has {reference[1]}")
        vocabulary = of_name[name]
        if _plain(values, ()) if vocabulary is None else _plain((), values):
            continue
        for row, value in enumerate(values):
            if vocabulary is None:
                yield from _of_number(row, name, value)
            else:
                yield from _of_category(row, name, value, vocabulary)


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


def _rounds_to_float32(value: float) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(float(value))))
    except OverflowError:
        return False


def _reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
