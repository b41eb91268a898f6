"""Rows as callers have them, as columns by feature name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mmoe_client.errors import InvalidFeatures, MalformedRequest, Problem
from mmoe_client.metadata import Metadata
from mmoe_client.values import column

Rows = Sequence[Mapping[str, Any]] | Sequence[Sequence[Any]] | Mapping[str, Any] | np.ndarray | Any
"""Rows as dicts by feature name or as lists in the model's order, columns by name, a numpy array
(B, F), or a DataFrame of pandas or polars."""

Extra = Literal["refuse", "ignore"]


def named_columns(rows: Rows, metadata: Metadata, extra: Extra = "refuse") -> dict[str, Any]:
    """Name the columns of rows, whose values stay as they came.

    Args:
        rows: in any form of `Rows`.
        metadata: of the model.
        extra: whether columns that are not features are refused by the service, or left out.

    Raises:
        MalformedRequest: no form of rows.
        InvalidFeatures: a list of another length than the features.
    """
    named = _named(rows, metadata)
    return named if extra == "refuse" else {name: named[name] for name in named if name in set(metadata.names)}


def columns_of(named: Mapping[str, Any], metadata: Metadata) -> tuple[dict[str, list[Any]], int]:
    """Write columns for JSON.

    Args:
        named: by name.
        metadata: of the model.

    Returns:
        The columns by name, and B.

    Raises:
        InvalidFeatures: columns that differ in length.
    """
    features = {feature.name: feature for feature in metadata.features}
    written = {
        name: column(features[name], values) if name in features else _other(values) for name, values in named.items()
    }
    lengths = {name: len(values) for name, values in written.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidFeatures(f"the columns differ in length: {lengths}", "invalid_features")
    return written, next(iter(lengths.values()), 0)


def _named(rows: Any, metadata: Metadata) -> dict[str, Any]:
    if is_frame(rows):
        return {str(name): _series(rows[name]) for name in rows.columns}
    if isinstance(rows, Mapping):
        return dict(rows)
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        return dict(zip(_fitting(metadata, rows.shape[1]), rows.T, strict=True))
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise MalformedRequest(
            f"rows came as {type(rows).__name__}; expected dicts, lists, columns, an array (B, F) or a DataFrame"
        )
    listed = list(rows)
    if all(isinstance(row, Mapping) for row in listed):
        names = dict.fromkeys(name for row in listed for name in row)
        # A name that no feature has is sent, for the service to say which one was probably meant.
        return {name: [row.get(name) for row in listed] for name in names} if names else {}
    if all(isinstance(row, (list, tuple, np.ndarray)) for row in listed):
        for index, row in enumerate(listed):
            if len(row) != len(metadata.features):
                message = f"has {len(row)} values; expected {len(metadata.features)} in the model's order"
                raise InvalidFeatures(
                    f"row {index}: {message}", "invalid_features", problems=[Problem(index, None, message)]
                )
        return dict(zip(metadata.names, zip(*listed, strict=True), strict=True)) if listed else {}
    raise MalformedRequest("rows came as a mixture; expected dicts alone or lists alone")


def _other(values: Any) -> list[Any]:
    """Write a column that is not a feature, for the service to name it."""
    return [None] * len(values) if hasattr(values, "__len__") else [None for _ in values]


def _fitting(metadata: Metadata, width: int) -> Sequence[str]:
    if width != len(metadata.features):
        raise MalformedRequest(f"the array has {width} columns; expected {len(metadata.features)} in the model's order")
    return metadata.names


def is_frame(rows: Any) -> bool:
    """Tell whether rows are a DataFrame, of pandas or polars."""
    return hasattr(rows, "columns") and hasattr(rows, "__getitem__") and hasattr(rows, "shape")


def _series(series: Any) -> Any:
    """Return a column of a frame: numbers as a numpy array, so that they are written at once."""
    kind, polars = str(getattr(series, "dtype", "")), hasattr(series, "null_count")
    if kind.startswith("float") or (polars and kind.startswith("Float")):
        return series.to_numpy()  # what is missing is NaN
    if kind.lower().startswith(("int", "uint", "float")) and not _has_nulls(series, polars):
        return series.to_numpy()
    return series


def _has_nulls(series: Any, polars: bool) -> bool:
    if polars:
        return bool(series.null_count())
    return bool(series.isna().any()) if hasattr(series, "isna") else False
