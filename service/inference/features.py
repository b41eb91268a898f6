"""Features: rows and columns as sent -> arrays in the model's order; no value changes its type.

The common path does all work per cell in C (itemgetter, map, struct); problems.py is asked only
when that path finds that something is wrong, and says what and where.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import CATEGORICAL, NUMERIC, Manifest
from service.errors import InvalidFeatures, MalformedRequest, RequestTooLarge, ValueProblem
from service.inference.category_text import BETWEEN, preparation
from service.inference.problems import column_problems, describe, row_problems, tensor_problems

Row = Sequence[Any]
_NUMBERS, _NUMBERS_OR_NULL = {int, float}, {int, float, type(None)}
_STRINGS_OR_NULL = {str, type(None)}
_NOT_PLAIN = (KeyError, TypeError, ValueError, OverflowError, struct.error)
"""Errors of the fast path where a value, a feature or a row is not as expected."""

_MANY = 4096


class Batch(NamedTuple):
    """Batch of rows ready to run; B >= 1.

    Attributes:
        numeric: float32 (B, N), NaN = missing; None if N = 0. May be read-only.
        categorical: object (B, C) of str, "" = missing; None if C = 0.
        rows: B.
        complete: whether `numeric` is known to hold no NaN, which makes a run cheaper.
    """

    numeric: NDArray[np.float32] | None
    categorical: NDArray[np.object_] | None
    rows: int
    complete: bool = False

    @classmethod
    def concat(cls, batches: Sequence["Batch"]) -> "Batch":
        """Join batches of one model in order; one batch alone is returned as it is."""
        if len(batches) == 1:
            return batches[0]
        numeric = [b.numeric for b in batches if b.numeric is not None]
        categorical = [b.categorical for b in batches if b.categorical is not None]
        return cls(
            np.concatenate(numeric) if numeric else None,
            np.concatenate(categorical) if categorical else None,
            sum(b.rows for b in batches),
            all(b.complete for b in batches),
        )

    def slice(self, start: int, stop: int) -> Self:
        """Return rows start to stop (exclusive) as views; at least one row."""
        return self._replace(
            numeric=None if self.numeric is None else self.numeric[start:stop],
            categorical=None if self.categorical is None else self.categorical[start:stop],
            rows=min(stop, self.rows) - start,
        )

    def inputs(self) -> dict[str, NDArray[Any]]:
        """Return the graph's inputs by name."""
        inputs: dict[str, NDArray[Any]] = {}
        if self.numeric is not None:
            inputs[NUMERIC] = self.numeric
        if self.categorical is not None:
            inputs[CATEGORICAL] = self.categorical
        return inputs


class FeatureReader:
    """Read the rows of one model.

    Args:
        manifest: gives names, kinds and order.
        max_rows: the most rows of one request.
    """

    def __init__(self, manifest: Manifest, max_rows: int) -> None:
        numeric = [feature.name for feature in manifest.numeric]
        categorical = [feature.name for feature in manifest.categorical]
        self.names = manifest.feature_names
        self.numeric, self.categorical = len(numeric), len(categorical)
        self.max_rows = max_rows
        self._known = frozenset(self.names)
        self._vocabularies = [feature.vocabulary for feature in manifest.categorical]
        self._pick_numbers, self._pick_strings = _picker(numeric), _picker(categorical)
        self._numbers_first = slice(0, self.numeric), slice(self.numeric, None)
        self._pack = struct.Struct(f"{self.numeric}f").pack
        self._prepare = preparation(manifest.category_text)

    def from_instances(self, instances: object) -> Batch:
        """Read rows: objects by feature name (absent, null: missing), or arrays in order.

        Raises:
            MalformedRequest: not a list.
            RequestTooLarge: more than max_rows.
            InvalidFeatures: anything wrong within, with row and feature.
        """
        if type(instances) is not list:
            raise MalformedRequest(f'"instances" is {describe(instances)}', "an array of rows")
        self.check_rows(len(instances))
        try:
            numbers, strings = self._split(instances)
            return self._batch(numbers, strings, len(instances))
        except _NOT_PLAIN:
            raise InvalidFeatures(*row_problems(instances, self.names, self._vocabularies)) from None

    def from_inputs(self, inputs: object) -> Batch:
        """Read columns: feature name -> array of values, all of one length.

        An absent column or null = missing.

        Raises:
            MalformedRequest: not a mapping.
            RequestTooLarge: more than max_rows.
            InvalidFeatures: anything wrong within, with row and feature.
        """
        if type(inputs) is not dict:
            raise MalformedRequest(f'"inputs" is {describe(inputs)}', "an object of columns, one per feature")
        try:
            if not inputs.keys() <= self._known or not set(map(type, inputs.values())) <= {list}:
                raise ValueError
            (rows,) = set(map(len, inputs.values())) or {0}
        except _NOT_PLAIN:
            raise InvalidFeatures(*column_problems(inputs, self.names, self._vocabularies)) from None
        self.check_rows(rows)
        absent = [None] * rows
        columns = [inputs.get(name, absent) for name in self.names]
        try:
            numbers = zip(*columns[: self.numeric], strict=True)
            strings = zip(*columns[self.numeric :], strict=True)
            return self._batch(list(numbers), list(strings), rows)
        except _NOT_PLAIN:
            raise InvalidFeatures(*column_problems(inputs, self.names, self._vocabularies)) from None

    def from_arrays(
        self, numeric: NDArray[np.float32] | None, categorical: NDArray[np.object_] | None, nan_is_missing: bool = False
    ) -> Batch:
        """Take arrays that were parsed elsewhere, of the right types and widths.

        Args:
            numeric: float32 (B, N); None if N = 0.
            categorical: object (B, C) of str; None if C = 0.
            nan_is_missing: whether NaN is taken for a missing number, as in the graph; else it is
                an error.

        Raises:
            RequestTooLarge: more than max_rows.
            InvalidFeatures: no rows, or a number that is not finite, with row and feature.
        """
        rows = len(numeric) if numeric is not None else len(categorical) if categorical is not None else 0
        self.check_rows(rows)
        complete = numeric is None or self.check_numeric(numeric, nan_is_missing)
        if categorical is not None and self._prepare is not None:
            categorical = self._texts(categorical.ravel().tolist())
        return Batch(numeric, categorical, rows, complete)

    def check_rows(self, rows: int) -> None:
        """Refuse no rows, which would kill the process, and too many."""
        if rows == 0:
            raise InvalidFeatures([ValueProblem(None, None, "no rows were sent; expected at least one")])
        if rows > self.max_rows:
            raise RequestTooLarge("the request", rows, self.max_rows, "rows", "MMOE_MAX_ROWS")

    def check_numeric(self, numeric: NDArray[np.float32], nan_is_missing: bool = False) -> bool:
        """Refuse infinite numbers and, unless it stands for a missing value, NaN.

        Tell whether no number is missing.

        Raises:
            InvalidFeatures: with row and feature.
        """
        if all_finite(numeric):
            return True
        if nan_is_missing and not np.isinf(numeric).any():
            return False
        raise InvalidFeatures(*tensor_problems(numeric, self.names, nan_is_missing))

    def _split(self, instances: list[Any]) -> tuple[list[Row], list[Row]]:
        """Return the rows' numbers and strings in manifest order.

        Raises one of _NOT_PLAIN where a row does not fit.
        """
        kinds = set(map(type, instances))
        if kinds == {dict}:
            if set(map(len, instances)) == {len(self.names)}:
                return list(map(self._pick_numbers, instances)), list(map(self._pick_strings, instances))
            if not all(row.keys() <= self._known for row in instances):
                raise KeyError
            complete: list[Row] = [tuple(map(row.get, self.names)) for row in instances]
        elif kinds == {list}:
            complete = instances
        elif kinds == {dict, list}:
            complete = [row if type(row) is list else list(map(row.get, self.names)) for row in instances]
        else:
            raise TypeError
        if set(map(len, complete)) != {len(self.names)}:
            raise ValueError
        first, rest = self._numbers_first
        return [row[first] for row in complete], [row[rest] for row in complete]

    def _batch(self, numbers: list[Row], strings: list[Row], rows: int) -> Batch:
        numeric, complete = self._read_numbers(numbers) if self.numeric else (None, True)
        return Batch(numeric, self._read_strings(strings) if self.categorical else None, rows, complete)

    def _read_strings(self, rows: list[Row]) -> NDArray[np.object_]:
        values = list(rows[0]) if len(rows) == 1 else list(chain.from_iterable(rows))
        try:
            return self._texts(values)
        except TypeError:  # joining them is a quicker look at their types than a look at each
            if not set(map(type, values)) <= _STRINGS_OR_NULL:
                raise
            return self._texts([value or "" for value in values])

    def _texts(self, values: list[str]) -> NDArray[np.object_]:
        """Return values in row order as (B, C), prepared as the table's reader did.

        TypeError for other types.
        """
        together = BETWEEN.join(values)
        prepared = values if self._prepare is None else self._prepare(values, together)
        # An object array is built six times faster than one of fixed width, and runs as fast.
        return np.array(prepared, np.object_).reshape(-1, self.categorical)

    def _read_numbers(self, rows: list[Row]) -> tuple[NDArray[np.float32], bool]:
        """Return the numbers, and whether none is missing."""
        kinds = set(map(type, chain.from_iterable(rows)))
        if kinds <= _NUMBERS:
            # Twice as fast as np.array; what is too large for float32 becomes infinite and is
            # found below.
            packed = self._pack(*rows[0]) if len(rows) == 1 else b"".join([self._pack(*row) for row in rows])
            numeric: NDArray[np.float32] = np.frombuffer(packed, np.float32).reshape(-1, self.numeric)
            missing = None
        elif kinds <= _NUMBERS_OR_NULL:
            cells = np.array(rows, np.object_)
            missing = cells == None  # noqa: E711 - compares every cell
            cells[missing] = 0.0
            with np.errstate(over="ignore"):
                numeric = cells.astype(np.float64).astype(np.float32)
        else:
            raise TypeError
        if not all_finite(numeric):
            raise ValueError
        if missing is not None:
            numeric[missing] = np.nan
        return numeric, missing is None


def all_finite(numbers: NDArray[np.float32]) -> bool:
    """Tell whether no number is NaN or infinite."""
    if numbers.size == 1:
        return math.isfinite(numbers.item())
    if numbers.size > _MANY:  # one pass instead of two; a product that overflows only means: look closer
        flat = numbers.ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(flat.dot(flat)):
                return True
    # Looking for a zero byte takes a third of the time of all() on a row.
    return 0 not in np.isfinite(numbers).tobytes()


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Row]:
    """Return a function from an object to its values of these names, as a tuple."""
    if not names:
        return lambda row: ()
    if len(names) == 1:
        name = names[0]
        return lambda row: (row[name],)
    return itemgetter(*names)
