"""Small records of arrays as JSON values, for the manifest of a cache."""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from model.schema import Bags, Cells, FeatureSchema, Rows, Task


def pack_schema(features: FeatureSchema, tasks: tuple[Task, ...]) -> dict[str, Any]:
    """Turn features and tasks into JSON values."""
    return {
        "features": TypeAdapter(FeatureSchema).dump_python(features),
        "tasks": TypeAdapter(tuple[Task, ...]).dump_python(tasks),
    }


def unpack_schema(packed: dict[str, Any]) -> tuple[FeatureSchema, tuple[Task, ...]]:
    """Restore features and tasks."""
    return (
        TypeAdapter(FeatureSchema).validate_python(packed["features"]),
        TypeAdapter(tuple[Task, ...]).validate_python(packed["tasks"]),
    )


def pack(value: Any) -> Any:
    """Turn a record of arrays, or a tuple of such, into JSON values."""
    if isinstance(value, np.ndarray):
        dtype = "text" if value.dtype == np.object_ else value.dtype.str
        return {"dtype": dtype, "shape": list(value.shape), "data": value.ravel().tolist()}
    if isinstance(value, tuple):
        return [pack(one) for one in value]
    if is_dataclass(value):
        return {field.name: pack(getattr(value, field.name)) for field in fields(value)}
    return value


def unpack_rows(packed: Any) -> Rows:
    """Restore rows."""
    return Rows(**{name: _unpack(value) for name, value in packed.items()})


def unpack_cells(packed: Any) -> Cells:
    """Restore cells."""
    return Cells(**{name: _unpack(value) for name, value in packed.items()})


def _unpack(packed: Any) -> Any:
    if isinstance(packed, list):
        return tuple(_unpack(one) for one in packed)
    if not isinstance(packed, dict):
        return packed
    if "dtype" not in packed:
        return Bags(**{name: _unpack(value) for name, value in packed.items()})
    dtype = np.object_ if packed["dtype"] == "text" else np.dtype(packed["dtype"])
    array: NDArray[Any] = np.empty(packed["shape"], dtype)
    array.ravel()[:] = packed["data"]
    return array
