"""Labels that callers report later: from the table's own terms to numbers, task by task."""

import math
import operator
import re
from collections.abc import Callable, Mapping

from service.artifact.entries import LabelRule, Task
from service.artifact.manifest import Manifest
from service.system.quoting import listed, quote, quotes

Read = Callable[[object], float | None]
"""A label as it came -> its number; None where it is not a label of the task."""

_CONDITION = re.compile(r"^(>=|<=|==|!=|>|<)\s*(\S.*)$")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

_PLAIN = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
"""Labels of a binary task whose column does not say otherwise."""


class LabelReader:
    """Reader of the labels of one model version.

    A label of a regression is a number; of a binary task a value of the table's column, a word of
    `classes`, or 0 and 1 where the column has no such values of its own; of a multiclass task one
    of its classes. What means a missing value in the table is no label.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._readers = {task.name: (_reader(task), _expected(task)) for task in manifest.tasks}
        self._missing = frozenset(("", *manifest.training_table.missing))
        self._missing_numbers = frozenset(number for text in self._missing if (number := _number(text)) is not None)

    @property
    def tasks(self) -> tuple[str, ...]:
        """List the names of the tasks."""
        return tuple(self._readers)

    def read(self, task: str, raw: object) -> float | None:
        """Return a label as a number: itself, 0 or 1, or the index of a class; None for none.

        Raises:
            ValueError: not a task, or not a label of it; the text says what was expected.
        """
        if task not in self._readers:
            raise ValueError(f"{quote(task)} is not a task of the model; its tasks are {quotes(self._readers)}")
        if self._is_missing(raw):
            return None
        read, expected = self._readers[task]
        number = read(raw)
        if number is None:
            raise ValueError(f"the label of task {quote(task)} is {quote(raw)}; expected {expected}")
        return number

    def _is_missing(self, raw: object) -> bool:
        if isinstance(raw, str):
            return raw.strip() in self._missing
        return raw is None or (type(raw) in (int, float) and raw in self._missing_numbers)


def _reader(task: Task) -> Read:
    if task.kind == "regression":
        return _number
    if task.kind == "multiclass":
        return _one_of({name: float(index) for index, name in enumerate(task.classes)})
    words = dict(zip(task.classes, (0.0, 1.0), strict=True))
    if task.label is not None and task.label.positive_if is not None:
        return _compared(task.label.positive_if, words)
    own = {} if task.label is None else {text: float(index) for text, index in (task.label.values or {}).items()}
    said = {text: _PLAIN.get(text.lower(), _number(text)) for text in own}
    agrees = all(number in (None, own[text]) for text, number in said.items())
    return _one_of({**(_PLAIN if agrees else {}), **words, **own})


def _one_of(meanings: Mapping[str, float]) -> Read:
    """Make the reader of a column of texts; numbers are equal however they are written."""
    numbers = {number: meaning for text, meaning in meanings.items() if (number := _number(text)) is not None}
    lower = {text.lower(): meaning for text, meaning in meanings.items() if text.lower() in ("false", "true")}

    def read(raw: object) -> float | None:
        if isinstance(raw, bool):
            return lower.get(str(raw).lower())
        text = raw.strip() if isinstance(raw, str) else ""
        if text in meanings:
            return meanings[text]
        number = _number(raw)
        return lower.get(text.lower()) if number is None else numbers.get(number)

    return read


def _compared(condition: str, words: Mapping[str, float]) -> Read:
    """Make the reader of a column that is compared with a number or a text."""
    match = _CONDITION.match(condition)
    assert match is not None  # the manifest was checked
    symbol, value = match[1], match[2]
    bound = _number(value)
    compare = _OPERATORS[symbol]

    def read(raw: object) -> float | None:
        raw = raw.strip() if isinstance(raw, str) else raw
        if isinstance(raw, str) and raw in words:
            return words[raw]
        if bound is not None:
            number = _number(raw)
            return None if number is None else float(compare(number, bound))
        if not isinstance(raw, str | bool):
            return None
        equal = str(raw).lower() == value.lower() if value.lower() in ("true", "false") else raw == value
        return float(equal == (symbol == "=="))

    return read


def _number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str) and "_" in raw:  # Python takes 1_000 for a number, tables do not
        return None
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _expected(task: Task) -> str:
    if task.kind == "regression":
        return "a number"
    rule = task.label or LabelRule(column="label")
    if task.kind == "multiclass":
        return f"one of {quotes(task.classes)}"
    if rule.positive_if is not None:
        return f"a value of column {quote(rule.column)}, which is positive if {rule.positive_if}"
    return f"{quotes(rule.values, ' or ')}" if rule.values else listed((*map(quote, task.classes), "0", "1"), " or ")
