"""Tables of numbers as raw tensors, by the binary extension of the Open Inference Protocol v2."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from mmoe_client.answers import Floats, Prediction
from mmoe_client.errors import ServerFault
from mmoe_client.metadata import Metadata

BINARY_ROWS = 8
"""Rows from which raw tensors are sent; one row or a few are JSON, which logs and proxies read."""


def matrix(columns: Mapping[str, Any], metadata: Metadata) -> Floats | None:
    """Lay columns out as the model's one tensor of numbers (B, N), a missing one as NaN.

    Args:
        columns: by feature name.
        metadata: of the model.

    Returns:
        None where only JSON says it: a model with features of other kinds, columns that are not
        arrays of numbers, or faults that the service is to name.
    """
    if any(feature.kind != "numeric" for feature in metadata.features) or columns.keys() != set(metadata.names):
        return None
    arrays = [columns[name] for name in metadata.names]
    if not all(isinstance(values, np.ndarray) and values.dtype.kind in "iuf" for values in arrays):
        return None
    if len({values.shape for values in arrays}) != 1 or arrays[0].ndim != 1 or len(arrays[0]) < BINARY_ROWS:
        return None
    numbers = np.empty((len(arrays[0]), len(arrays)), "<f4")
    with np.errstate(over="ignore"):
        for column, values in enumerate(arrays):
            # Whole numbers of 64 bits are rounded twice, as the service reads them from JSON.
            numbers[:, column] = values.astype(np.float64) if values.dtype.itemsize == 8 else values
    return None if np.isinf(numbers).any() else numbers


def path(model: str, version: int | None) -> str:
    """Return the path of a model's inference."""
    place = f"/v2/models/{quote(model, safe='')}"
    return f"{place}/infer" if version is None else f"{place}/versions/{version}/infer"


def request(numbers: Floats) -> tuple[bytes, int]:
    """Write the body of a request for every output, and the length of its JSON."""
    entry = {"name": "numeric", "shape": numbers.shape, "datatype": "FP32"}
    sized = {**entry, "parameters": {"binary_data_size": numbers.nbytes}}
    head = json.dumps({"inputs": [sized], "parameters": {"binary_data_output": True}}, separators=(",", ":")).encode()
    return head + numbers.tobytes(), len(head)


def prediction(document: Any, raw: memoryview, headers: Mapping[str, str], metadata: Metadata) -> Prediction:
    """Read an answer.

    Raises:
        ServerFault: it is not one of this protocol.
    """
    try:
        found, begin = dict[str, NDArray[np.float32]](), 0
        for output in document["outputs"]:
            end = begin + output["parameters"]["binary_data_size"]
            found[output["name"]] = np.frombuffer(raw[begin:end], "<f4").reshape(output["shape"]).astype(np.float32)
            begin = end
        weights = found.pop("gate_weights", None)
        names = [task.name for task in metadata.tasks]
        gates = None if weights is None else {name: weights[:, t] for t, name in enumerate(names)}
        identity = headers.get("x-request-id", "")
        ids = (identity,) if identity else ()
        return Prediction(document["model_name"], int(document["model_version"]), found, gates, ids)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ServerFault(f"the answer is not tensors: {error!r}") from None
