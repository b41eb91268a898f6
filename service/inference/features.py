"""Features: rows and columns as sent -> arrays in the model's order; no value changes its type.

The common path does all work per cell in C (itemgetter, map, struct); problems.py is asked only
when that path finds that something is wrong, and says what and where.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import CATEGORICAL, DATETIME, NUMERIC, Manifest
from service.errors import InvalidFeatures, MalformedRequest, RequestTooLarge, ValueProblem
from service.inference.lenient import Lenience
from service.inference.problems import Features, column_problems, moment_problems, row_problems, tensor_problems
from service.inference.reading.bags import Bag
from service.inference.reading.datetimes import datetime_fault, read_datetimes, sound_moments
from service.inference.reading.numbers import NumberReader, all_finite
from service.inference.reading.texts import hashed_fault, text_reader
from service.inference.reading.values import NOT_PLAIN, Row, describe


class Batch(NamedTuple):
    """Batch of rows ready to run; B >= 1.

    Attributes:
        numeric: float32 (B, N), NaN = missing; None if N = 0. May be read-only.
        categorical: object (B, C + H + G) of str, "" = missing, bags joined by their separators;
            None without features of text.
        rows: B.
        complete: whether `numeric` is known to hold no NaN, which makes a run cheaper.
        datetime: int64 (B, K), epoch seconds UTC, MISSING_TIME = missing; None if K = 0. May be
            read-only.
        keys: the caller's own name of each row, for the prediction log; None where none were
            given, and of what several requests share.
    """

    numeric: NDArray[np.float32] | None
    categorical: NDArray[np.object_] | None
    rows: int
    complete: bool = False
    datetime: NDArray[np.int64] | None = None
    keys: tuple[str, ...] | None = None

    @classmethod
    def of_inputs(cls, inputs: Mapping[str, NDArray[Any]], rows: int) -> "Batch":
        """Return the batch of a graph's inputs by name."""
        return cls(inputs.get(NUMERIC), inputs.get(CATEGORICAL), rows, datetime=inputs.get(DATETIME))

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
            None
            if batches[0].datetime is None
            else np.concatenate([b.datetime for b in batches if b.datetime is not None]),
        )

    def slice(self, start: int, stop: int) -> Self:
        """Return rows start to stop (exclusive) as views; at least one row."""
        return self._replace(
            numeric=None if self.numeric is None else self.numeric[start:stop],
            categorical=None if self.categorical is None else self.categorical[start:stop],
            datetime=None if self.datetime is None else self.datetime[start:stop],
            rows=min(stop, self.rows) - start,
        )

    def inputs(self) -> dict[str, NDArray[Any]]:
        """Return the graph's inputs by name."""
        inputs: dict[str, NDArray[Any]] = {}
        if self.numeric is not None:
            inputs[NUMERIC] = self.numeric
        if self.categorical is not None:
            inputs[CATEGORICAL] = self.categorical
        if self.datetime is not None:
            inputs[DATETIME] = self.datetime
        return inputs


class FeatureReader:
    """Reader of the rows of one model.

    Args:
        manifest: gives names, kinds and order.
        max_rows: the most rows of one request.

    Attributes:
        lenience: liberties that may be taken with rows before they are read.
    """

    def __init__(self, manifest: Manifest, max_rows: int) -> None:
        numeric, texts, datetimes = (
            [feature.name for feature in features]
            for features in (manifest.numeric, manifest.texts, manifest.datetimes)
        )
        self.names = manifest.feature_names
        self.numeric, self.categorical, self.datetime = len(numeric), len(texts), len(datetimes)
        self.max_rows = max_rows
        self._known = frozenset(self.names)
        self._pick_numbers, self._pick_others = _picker(numeric), _picker(texts + datetimes)
        self._numbers_first = slice(0, self.numeric), slice(self.numeric, None)
        texts_of = text_reader(manifest)
        self._read_numbers, self._read_texts, self._prepared = (
            NumberReader(self.numeric).read, texts_of.read, texts_of.prepared
        )  # fmt: skip
        self._features = _features(manifest)
        self.lenience = Lenience(manifest)

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
            numbers, others = self._split(instances)
            return self._batch(numbers, others, len(instances))
        except NOT_PLAIN:
            raise InvalidFeatures(*row_problems(instances, self._features)) from None

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
        except NOT_PLAIN:
            raise InvalidFeatures(*column_problems(inputs, self._features)) from None
        self.check_rows(rows)
        absent = [None] * rows
        columns = [inputs.get(name, absent) for name in self.names]
        try:
            numbers = zip(*columns[: self.numeric], strict=True)
            others = zip(*columns[self.numeric :], strict=True)
            return self._batch(list(numbers), list(others), rows)
        except NOT_PLAIN:
            raise InvalidFeatures(*column_problems(inputs, self._features)) from None

    def from_arrays(self, arrays: Mapping[str, NDArray[Any]], nan_is_missing: bool = False) -> Batch:
        """Take arrays that were parsed elsewhere, of the right types and widths.

        Args:
            arrays: of the graph's inputs by name, all of the model's, as `Batch` has them.
            nan_is_missing: whether NaN is taken for a missing number, as in the graph; else it is
                an error.

        Raises:
            RequestTooLarge: more than max_rows.
            InvalidFeatures: no rows, a number that is not finite, or a moment that is not of the
                years 1 to 9999, with row and feature.
        """
        batch = Batch.of_inputs(arrays, len(next(iter(arrays.values()))))
        self.check_rows(batch.rows)
        complete = batch.numeric is None or self.check_numeric(batch.numeric, nan_is_missing)
        texts = None if batch.categorical is None else self._prepared(batch.categorical)
        if batch.datetime is not None and not sound_moments(batch.datetime):
            raise InvalidFeatures(*moment_problems(batch.datetime, self.names))
        return batch._replace(categorical=texts, complete=complete)

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
        """Return the rows' numbers, and their texts and moments, in manifest order.

        Raises one of NOT_PLAIN where a row does not fit.
        """
        kinds = set(map(type, instances))
        if kinds == {dict}:
            if set(map(len, instances)) == {len(self.names)}:
                return list(map(self._pick_numbers, instances)), list(map(self._pick_others, instances))
            complete: list[Row] = [self._in_order(row) for row in instances]
        elif kinds == {list}:
            complete = instances
        elif kinds == {dict, list}:
            complete = [row if type(row) is list else list(self._in_order(row)) for row in instances]
        else:
            raise TypeError
        if set(map(len, complete)) != {len(self.names)}:
            raise ValueError
        first, rest = self._numbers_first
        return [row[first] for row in complete], [row[rest] for row in complete]

    def _in_order(self, row: Mapping[str, Any]) -> Row:
        if not row.keys() <= self._known:
            raise KeyError
        return tuple(map(row.get, self.names))

    def _batch(self, numbers: list[Row], others: list[Row], rows: int) -> Batch:
        numeric, complete = self._read_numbers(numbers) if self.numeric else (None, True)
        if not self.datetime:
            return Batch(numeric, self._read_texts(others) if self.categorical else None, rows, complete)
        texts = self.categorical
        categorical = self._read_texts([row[:texts] for row in others]) if texts else None
        return Batch(numeric, categorical, rows, complete, read_datetimes([row[texts:] for row in others]))


def _features(manifest: Manifest) -> Features:
    """Return what the search for faults knows of a model's features."""
    bags = [Bag(feature.separator).fault for feature in manifest.bags]
    faults = [*[hashed_fault] * len(manifest.hashed), *bags, *[datetime_fault] * len(manifest.datetimes)]
    return Features(manifest.feature_names, [feature.vocabulary for feature in manifest.categorical], faults)


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Row]:
    """Return a function from an object to its values of these names, as a tuple."""
    if not names:
        return lambda row: ()
    if len(names) == 1:
        name = names[0]
        return lambda row: (row[name],)
    return itemgetter(*names)
