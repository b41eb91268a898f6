"""Request bodies with random rows like the training rows; several per case, none alike."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.artifacts import Artifact

Format = Literal["lists", "named", "v2", "binary"]
"""lists and named: {"instances": [...]}; v2: Open Inference Protocol, JSON.

Binary: the same with raw tensors.
"""

ROWS_PER_FILE = 2048
"""Rows in all the bodies of one file, so that the files stay small.

At least 8 and at most 512 bodies.
"""


@dataclass(frozen=True)
class Body:
    """Request body; header_bytes is the length of the JSON part of a binary one."""

    content: bytes
    header_bytes: int | None = None


@dataclass(frozen=True)
class Table:
    """Raw rows: numeric float32 (B, N), categorical object (B, C) of str."""

    numeric: NDArray[np.float32]
    categorical: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.numeric)


def random_table(artifact: Artifact, rows: int, rng: np.random.Generator) -> Table:
    """Draw rows.

    Numbers by each feature's mean and deviation within its range, values evenly from each
    vocabulary.
    """
    numeric = np.empty((rows, len(artifact.numeric)), np.float32)
    for column, feature in enumerate(artifact.numeric):
        drawn = rng.normal(feature["mean"], feature["std"], rows).clip(feature["minimum"], feature["maximum"])
        whole = all(float(feature[key]).is_integer() for key in ("minimum", "maximum"))
        numeric[:, column] = drawn.round() if whole and feature["maximum"] > 10 else drawn
    categorical = np.empty((rows, len(artifact.categorical)), object)
    for column, feature in enumerate(artifact.categorical):
        categorical[:, column] = rng.choice(feature["vocabulary"], rows)
    return Table(numeric, categorical)


def encode(artifact: Artifact, table: Table, form: Format) -> Body:
    """Write rows as one request body."""
    if form == "binary":
        return _binary(table)
    if form == "v2":
        return Body(_dump({"inputs": [tensor | {"data": data.ravel()} for tensor, data in _tensors(table)]}))
    lists = [
        list(numbers) + list(values) for numbers, values in zip(table.numeric, table.categorical.tolist(), strict=True)
    ]
    if form == "lists":
        return Body(_dump({"instances": lists}))
    names = [feature["name"] for feature in artifact.numeric + artifact.categorical]
    return Body(_dump({"instances": [dict(zip(names, row, strict=True)) for row in lists]}))


def write_bodies(artifact: Artifact, rows: int, form: Format, path: Path, seed: int = 0) -> None:
    """Write the file that post.lua reads: records of a line with two lengths, then the body."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for _ in range(min(512, max(8, ROWS_PER_FILE // rows))):
            body = encode(artifact, random_table(artifact, rows, rng), form)
            header = "-" if body.header_bytes is None else body.header_bytes
            file.write(f"{len(body.content)} {header}\n".encode() + body.content)


def read_bodies(path: Path) -> list[Body]:
    """Read such a file back."""
    content, start, bodies = path.read_bytes(), 0, []
    while start < len(content):
        end = content.index(b"\n", start)
        length, header = content[start:end].decode().split()
        start = end + 1 + int(length)
        bodies.append(Body(content[end + 1 : start], None if header == "-" else int(header)))
    return bodies


def content_type(form: Format) -> str:
    """Return the media type of a form."""
    return "application/octet-stream" if form == "binary" else "application/json"


def _tensors(table: Table) -> list[tuple[dict[str, Any], NDArray[Any]]]:
    tensors: list[tuple[dict[str, Any], NDArray[Any]]] = []
    if table.numeric.shape[1]:
        tensors.append(({"name": "numeric", "shape": table.numeric.shape, "datatype": "FP32"}, table.numeric))
    if table.categorical.shape[1]:
        shape = table.categorical.shape
        tensors.append(({"name": "categorical", "shape": shape, "datatype": "BYTES"}, table.categorical))
    return tensors


def _binary(table: Table) -> Body:
    inputs, tail = [], b""
    for tensor, data in _tensors(table):
        raw = _length_prefixed(data) if tensor["datatype"] == "BYTES" else data.astype("<f4").tobytes()
        inputs.append(tensor | {"parameters": {"binary_data_size": len(raw)}})
        tail += raw
    header = _dump({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return Body(header + tail, len(header))


def _length_prefixed(values: NDArray[Any]) -> bytes:
    encoded = [str(value).encode() for value in values.flat]
    return b"".join(struct.pack("<I", len(value)) + value for value in encoded)


def _dump(value: object) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.ravel().tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
